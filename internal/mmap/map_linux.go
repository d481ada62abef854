package mmap

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

func mapFile(file *os.File, size int) (data []byte, release func() error, err error) {
	data, err = syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be mapped: %w", err)
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}

// reopen opens the mapping's file again; nil: there is none of its name, or it is another one.
func (m *Mapping) reopen() *os.File {
	file, err := os.Open(m.path)
	if err != nil {
		return nil
	}
	if info, err := file.Stat(); err == nil && stateOf(info).sameFile(m.was.Load()) {
		return file
	}
	_ = file.Close()
	return nil
}

func isBadAddress(err error) bool { return errors.Is(err, syscall.EFAULT) }

// state is what tells that a file was written to.
type state struct {
	device, inode, links uint64
	mode, user, group    uint32
	size                 int64
	modified, changed    syscall.Timespec
}

func stateOf(info os.FileInfo) *state {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &state{size: info.Size()}
	}
	return &state{device: uint64(s.Dev), inode: s.Ino, links: uint64(s.Nlink), mode: s.Mode, user: s.Uid, group: s.Gid, size: s.Size,
		modified: s.Mtim, changed: s.Ctim}
}

func (s *state) sameFile(was *state) bool { return s.device == was.device && s.inode == was.inode }

// written tells a write from a change of owner, mode or links, which moves the time of change alone. A write whose time of
// modification was set back moves that too.
func (s *state) written(was *state) bool {
	told := s.links != was.links || s.mode != was.mode || s.user != was.user || s.group != was.group
	return s.modified != was.modified || s.changed != was.changed && !told
}
