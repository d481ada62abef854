//go:build !linux

package atomicfile

// Room is unknown.
func Room(string) int64 { return -1 }
