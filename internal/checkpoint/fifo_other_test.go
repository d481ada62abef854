//go:build !unix

package checkpoint

import "os"

// special makes something that is no regular file.
func special(path string) error { return os.Mkdir(path, 0o755) }
