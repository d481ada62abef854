package serve

import "net/http"

// Losable is a model whose files can be lost while it is open.
type Losable interface {
	// Lost is why the model answers nothing any more; nil: it does.
	Lost() error
}

// lost is the answer of a server whose model is of no use any more; nil: it is.
func (s *Server) lost() error {
	if m, ok := s.model.(Losable); ok {
		if err := m.Lost(); err != nil {
			return &RequestError{http.StatusServiceUnavailable, err}
		}
	}
	return nil
}
