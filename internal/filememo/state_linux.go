package filememo

import (
	"os"
	"path/filepath"
	"syscall"
)

func stateOf(path, fact string) (state, bool) {
	full, err := filepath.Abs(path)
	if err != nil {
		return state{}, false
	}
	info, err := os.Stat(full)
	if err != nil || !info.Mode().IsRegular() {
		return state{}, false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return state{}, false
	}
	return state{
		Device: uint64(s.Dev), Inode: s.Ino, Size: s.Size, Modified: s.Mtim.Nano(), Changed: s.Ctim.Nano(), Path: full, Fact: fact,
	}, true
}
