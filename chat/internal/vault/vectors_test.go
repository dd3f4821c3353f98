package vault

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vectors are the test vectors of chat/SPEC.md, "At rest": hexadecimal, made with keys and nonces of one byte repeated.
type vectors struct {
	KEK          string `json:"kek"`
	Store        string `json:"store_key"`
	Key          string `json:"conversation_key"`
	Conversation string `json:"conversation"`
	Nonce        string `json:"nonce"`
	Root         string `json:"root"`
	Table        string `json:"table"`
	Column       string `json:"column"`
	Row          string `json:"row"`
	Plaintext    string `json:"plaintext"`
	Cell         string `json:"cell"`
	StoreCell    string `json:"cell_of_the_store"`
	Kind         string `json:"blind_kind"`
	ID           string `json:"blind_id"`
	Blind        string `json:"blind_index"`
	Keystore     string `json:"keystore"`
}

const vectorFile = "../../testdata/vectors/rest.json"

func repeated(n byte, size int) []byte { return bytes.Repeat([]byte{n}, size) }

func filledWith(n byte) func([]byte) {
	return func(b []byte) { copy(b, repeated(n, len(b))) }
}

func computed(t *testing.T) vectors {
	t.Helper()
	secret := func(n byte) Secret { return MadeSecret(filledWith(n)) }
	c := Conversation(append([]byte{1}, repeated(5, 31)...))
	r, err := NewRing(secret(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Add(c, secret(3)); err != nil {
		t.Fatal(err)
	}
	p := Place{Table: "message", Column: "cell", Row: repeated(6, 16)}
	cell, err1 := r.Seal(p, c, []byte("hello Bob"), filledWith(4))
	own, err2 := r.Seal(p, Conversation{}, []byte("hello Bob"), filledWith(4))
	keystore, err3 := r.Marshal(secret(1), filledWith(7))
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	blind := r.Blind("message", repeated(8, 32))
	return vectors{
		KEK: hex.EncodeToString(repeated(1, 32)), Store: hex.EncodeToString(repeated(2, 32)), Key: hex.EncodeToString(repeated(3, 32)),
		Conversation: hex.EncodeToString(c[:]), Nonce: hex.EncodeToString(repeated(4, 24)), Root: hex.EncodeToString(repeated(7, 32)),
		Table: p.Table, Column: p.Column, Row: hex.EncodeToString(p.Row), Plaintext: "hello Bob", Cell: hex.EncodeToString(cell),
		StoreCell: hex.EncodeToString(own), Kind: "message", ID: hex.EncodeToString(repeated(8, 32)), Blind: hex.EncodeToString(blind[:]),
		Keystore: hex.EncodeToString(keystore),
	}
}

func TestVectors(t *testing.T) {
	got := computed(t)
	if os.Getenv("PARLEY_TEST_WRITE_VECTORS") != "" {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var want vectors
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("computed %+v\nwant     %+v", got, want)
	}
}
