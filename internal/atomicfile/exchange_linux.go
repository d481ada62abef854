package atomicfile

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps two folders' names in one step, or in three where the file system cannot.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return exchangeByRenames(a, b)
	}
	return err
}
