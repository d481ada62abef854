package execjudge

// Error is a request without an answer that could be used.
type Error struct {
	Reason string // without what differs from request to request
	Err    error  // more of it, or nil

	fatal bool
	// foul: the program broke the protocol, so an answer that came at the same time is not to be trusted either.
	foul bool
}

func (e *Error) Error() string {
	text := "execjudge: " + e.Reason
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Short is what failures are counted by.
func (e *Error) Short() string { return e.Reason }

// Fatal tells whether every further call would fail: the program cannot be started, or was restarted too often.
func (e *Error) Fatal() bool { return e.fatal }
