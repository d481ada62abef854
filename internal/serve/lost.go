package serve

// Losable is a model whose files can be lost while it is open.
type Losable interface {
	// Lost is why the model answers nothing any more; nil: it does.
	Lost() error
}

// why is why the model is of no more use; nil: it is. The server's lock is held.
func (e *engine) why() error {
	if m, ok := e.model.(Losable); ok && e.lost == nil {
		return m.Lost()
	}
	return e.lost
}
