//go:build unix

package checkpoint

import "syscall"

// special makes something that is no regular file.
func special(path string) error { return syscall.Mkfifo(path, 0o644) }
