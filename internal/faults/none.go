//go:build !faults

// Package faults makes file operations fail, or kills the process at one, in programs that are built with the tag "faults" for the
// crash tests. In all others its only function does nothing.
package faults

// On tells that the program can be made to fail.
const On = false

// Point is called ahead of an operation on a file; its error is the operation's.
func Point(string, string) error { return nil }
