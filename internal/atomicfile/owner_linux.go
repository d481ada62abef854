package atomicfile

import (
	"bytes"
	"fmt"
	"os"
)

// begunAt is when a process began, in ticks since the machine started; ok is false if there is none of that number.
func begunAt(process int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return "", false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	const begun = 19                                                // field 22 of proc(5), from the third on
	if len(fields) <= begun || bytes.Equal(fields[0], []byte("Z")) {
		return "", false // a zombie writes nothing
	}
	return string(fields[begun]), true
}

// machineParts tell this start of the machine, and this container of it, from others.
func machineParts() []string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	host, _ := os.Hostname()
	return []string{string(boot), space, host}
}
