//go:build !linux

package atomicfile

import "os"

// begunAt is not known: age alone tells what is left over.
func begunAt(int) (string, bool) { return "", false }

func machineParts() []string {
	host, _ := os.Hostname()
	return []string{host}
}
