package data

// TooLongError says that a text has more tokens than are read at once.
type TooLongError struct {
	Tokens, Limit int
	Message       string // what is too long, with both numbers
}

func (e *TooLongError) Error() string { return e.Message }

func tooLong(tokens, limit int, message string) error {
	return &TooLongError{Tokens: tokens, Limit: limit, Message: message}
}
