// Package crash holds tests that kill the program with SIGKILL, let its file operations fail and damage its files, then ask what is left:
// what it said it saved is there and whole, a run that is begun again makes what the unbroken one makes, and nothing is littered.
package crash
