package strictyaml

import (
	"fmt"
	"os"
)

// DecodeFile decodes a file of at most MaxBytes, see Decode.
func DecodeFile(path string, into any, names ...Names) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > MaxBytes {
		return fmt.Errorf("%s: %d bytes: a configuration has at most %d", path, info.Size(), MaxBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return Decode(text, path, into, names...)
}
