package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/internal/remote"
)

// partEnding is behind the name of an output that is not whole.
const partEnding = ".part"

// toFile writes to a file, or to a local one that becomes an object when it is whole, and returns the output's SHA-256.
func (s *scoring) toFile(target string) (sum string, err error) {
	if !remote.Is(target) {
		if err := s.grow(target); err != nil {
			return "", err
		}
		return copyFiles(io.Discard, target)
	}
	local, err := remote.Unfinished(target)
	if err != nil {
		return "", err
	}
	if s.command.Resume {
		if err := fetchUnfinished(target, local); err != nil {
			return "", err
		}
	}
	if err := s.grow(local); err != nil {
		return "", errors.Join(err, s.keepUnfinished(target, local))
	}
	if sum, err = copyFiles(io.Discard, local); err != nil {
		return "", err
	}
	if err := remote.Put(target, local, false); err != nil {
		return "", fmt.Errorf("%w; all is scored and lies in %s: --resume on this machine stores it", err, local)
	}
	if there, err := remote.Exists(target + partEnding); err == nil && there {
		if err := remote.Remove(target + partEnding); err != nil {
			s.console.Warnf("%v", err)
		}
	}
	return sum, os.RemoveAll(filepath.Dir(local))
}

// fetchUnfinished brings what another machine has left of the output, or the whole of it, unless there is something here.
func fetchUnfinished(target, local string) error {
	for _, ending := range []string{partEnding, ""} {
		if _, err := os.Stat(local + ending); err == nil {
			return nil
		}
	}
	for _, ending := range []string{partEnding, ""} {
		there, err := remote.Exists(target + ending)
		if err != nil {
			return err
		}
		if there {
			return remote.Fetch(target+ending, local+ending)
		}
	}
	return nil
}

// keepUnfinished stores what there is of an output beside its address, so that another machine can go on.
func (s *scoring) keepUnfinished(target, local string) error {
	if info, err := os.Stat(local + partEnding); err != nil || info.Size() == 0 {
		return nil
	}
	err := remote.Put(target+partEnding, local+partEnding, true)
	if err != nil {
		return fmt.Errorf("what is scored lies in %s alone: %w", local+partEnding, err)
	}
	s.console.Noticef("what is scored is kept as %s", target+partEnding)
	return nil
}
