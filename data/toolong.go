package data

import "fmt"

// TooLongError says that a text has more tokens than are read at once.
type TooLongError struct {
	Tokens, Limit int
	Message       string // what is too long, with both numbers
}

func (e *TooLongError) Error() string { return e.Message }

func tooLong(tokens, limit int, message string) error {
	return &TooLongError{Tokens: tokens, Limit: limit, Message: message}
}

// StepEndError says that a token holds the end of a step and the beginning of what follows, so that there is no place to read the step at.
type StepEndError struct {
	Token string // its text
	Step  string // which step
}

func (e *StepEndError) Error() string {
	return fmt.Sprintf("a token (%q) reaches across the end of %s with its separator; set text.tokenize: pieces, or choose another "+
		"text.separator", e.Token, e.Step)
}
