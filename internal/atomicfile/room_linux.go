package atomicfile

import "syscall"

// Room is how many bytes the user may still write to the file system of a folder; -1: unknown.
func Room(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize
}
