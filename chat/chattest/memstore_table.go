package chattest

import "slices"

// table keeps rows in the order of their keys. Rows are never changed in place: a new one takes the place of the old.
type table[V any] struct {
	keys []string
	rows []V
}

func (t *table[V]) get(key string) (row V, ok bool) {
	i, ok := slices.BinarySearch(t.keys, key)
	if !ok {
		return row, false
	}
	return t.rows[i], true
}

func (t *table[V]) set(key string, row V) {
	i, ok := slices.BinarySearch(t.keys, key)
	if ok {
		t.rows[i] = row
		return
	}
	t.keys = slices.Insert(t.keys, i, key)
	t.rows = slices.Insert(t.rows, i, row)
}

func (t *table[V]) remove(key string) {
	if i, ok := slices.BinarySearch(t.keys, key); ok {
		t.keys = slices.Delete(t.keys, i, i+1)
		t.rows = slices.Delete(t.rows, i, i+1)
	}
}

// from returns the rows whose keys are not less than key.
func (t *table[V]) from(key string) []V {
	i, _ := slices.BinarySearch(t.keys, key)
	return t.rows[i:]
}

// upTo returns the rows whose keys are less than key.
func (t *table[V]) upTo(key string) []V {
	i, _ := slices.BinarySearch(t.keys, key)
	return t.rows[:i]
}

// all returns every row, in order.
func (t *table[V]) all() []V { return t.rows }

// copy returns a table with the same rows.
func (t table[V]) copy() table[V] { return table[V]{slices.Clone(t.keys), slices.Clone(t.rows)} }
