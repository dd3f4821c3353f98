package guard

// Budgets returns of how many peers it is remembered what was dialled for them.
func (g *Guard) Budgets() int { return len(g.budgets) }

// Known returns for how many peers it is remembered where we know them to be.
func (g *Guard) Known() int { return len(g.known) }
