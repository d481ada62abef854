package atomicfile

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A temporary name ends with ".tmp-MACHINE-PROCESS-BEGUN-RANDOM", which tells a killed owner from one that is at work: numbers of
// processes are used again, so the time at which the process began belongs to it, and they mean nothing on another machine or in
// another container, whose temporaries are taken for litter only when nothing has touched them for strangerAge.
type owner struct {
	machine string
	process int
	begun   string
}

// strangerAge is how old a temporary of an unknown owner is when it is removed.
const strangerAge = 24 * time.Hour

var self = sync.OnceValue(func() owner {
	o := owner{process: os.Getpid(), begun: "0"}
	if begun, ok := begunAt(o.process); ok {
		o.begun = begun
	}
	sum := fnv.New32a()
	for _, part := range machineParts() {
		_, _ = fmt.Fprintf(sum, "%d %s\n", len(part), part)
	}
	o.machine = fmt.Sprintf("%08x", sum.Sum32())
	return o
})

// temporaryName is a new name beside final.
func temporaryName(final string) string {
	o := self()
	name := fmt.Sprintf(".%s%s%s-%d-%s-%08x", filepath.Base(final), temporaryMark, o.machine, o.process, o.begun, rand.Uint32())
	return filepath.Join(filepath.Dir(final), name)
}

// ownerOf takes a temporary name apart; ok is false for one that is not of this form.
func ownerOf(name string) (o owner, ok bool) {
	at := strings.LastIndex(name, temporaryMark)
	if !strings.HasPrefix(name, ".") || at < 0 {
		return o, false
	}
	parts := strings.Split(name[at+len(temporaryMark):], "-")
	if len(parts) != 4 || len(parts[0]) != 8 || len(parts[3]) != 8 {
		return o, false
	}
	for _, hex := range []string{parts[0], parts[3]} {
		if _, err := strconv.ParseUint(hex, 16, 32); err != nil {
			return o, false
		}
	}
	process, err := strconv.Atoi(parts[1])
	return owner{parts[0], process, parts[2]}, err == nil && process > 0
}

// dead reports whether the owner of a temporary has ended; path tells the age of one that cannot be asked for.
func (o owner) dead(path string) bool {
	if mine := self(); o.machine == mine.machine && mine.begun != "0" {
		begun, alive := begunAt(o.process)
		return !alive || begun != o.begun
	}
	info, err := os.Lstat(path)
	return err == nil && time.Since(info.ModTime()) > strangerAge
}

// tidied are the folders that this process has looked through.
var tidied sync.Map

// tidy removes, once for each folder, what processes that were killed have left there under temporary names. What cannot be removed
// stays, with a warning: it is in nobody's way.
func tidy(folder string) {
	if full, err := filepath.Abs(folder); err == nil {
		folder = full
	}
	if _, done := tidied.LoadOrStore(folder, true); done {
		return
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // whoever writes there meets the error
	}
	for _, entry := range entries {
		o, ok := ownerOf(entry.Name())
		if path := filepath.Join(folder, entry.Name()); ok && o.dead(path) {
			if err := os.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				slog.Warn("what a killed process left could not be removed", "path", path, "error", err)
			}
		}
	}
}

// Scratch makes a folder for what is needed for a while, beside the final path: a folder that a killed process left is removed by the
// next that writes there.
func Scratch(final string) (string, error) {
	name, err := Disk{}.createBeside(final, func(name string) error { return os.Mkdir(name, 0o700) })
	if err != nil {
		return "", fmt.Errorf("%s: %w", final, err)
	}
	return name, nil
}
