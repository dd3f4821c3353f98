package guard

// Budgets returns of how many peers it is remembered what was dialled for them.
func (g *Guard) Budgets() int { return len(g.budgets) }
