package serve

import "github.com/goprm/goprm/internal/served"

// why is why the model is of no more use; nil: it is. The server's lock is held.
func (e *engine) why() error {
	if m, ok := e.model.(served.Losable); ok && e.lost == nil {
		return m.Lost()
	}
	return e.lost
}
