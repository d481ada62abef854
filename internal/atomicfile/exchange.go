package atomicfile

import (
	"errors"
	"os"
)

// exchangeByRenames swaps two folders' names through a third one. A crash between the renames can leave b's name free, with both
// folders whole under temporary names.
func exchangeByRenames(a, b string) error {
	aside := a + "-old"
	if err := os.Rename(b, aside); err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, os.Rename(aside, b))
	}
	return os.Rename(aside, a)
}
