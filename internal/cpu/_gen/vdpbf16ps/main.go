// Command vdpbf16ps rewrites a file of assembly: each VPDPWSSD of three 512-bit registers becomes the bytes of VDPBF16PS,
// which Go's assembler does not know. The two differ in the EVEX prefix alone (66 and F3).
package main

import (
	"fmt"
	"log"
	"os"
	"regexp"
	"strconv"
)

var standIn = regexp.MustCompile(`(?m)^\tVPDPWSSD +Z(\d+), Z(\d+), Z(\d+)$`)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	text = standIn.ReplaceAllFunc(text, func(line []byte) []byte {
		m := standIn.FindSubmatch(line)
		var r [3]byte
		for i := range r {
			n, _ := strconv.Atoi(string(m[i+1]))
			r[i] = byte(n)
		}
		out := "\t"
		for _, b := range encode(r[2], r[1], r[0]) {
			out += fmt.Sprintf("BYTE $0x%02x; ", b)
		}
		return fmt.Appendf(nil, "%s// VDPBF16PS Z%d, Z%d, Z%d", out, r[0], r[1], r[2])
	})
	if err := os.WriteFile(os.Args[1], text, 0o644); err != nil {
		log.Fatal(err)
	}
}

// encode is EVEX.512.F3.0F38.W0 52 /r: dst += first·second. Register bits are stored inverted.
func encode(dst, first, second byte) []byte {
	bit := func(r, n byte) byte { return ^r >> n & 1 }
	return []byte{
		0x62,
		bit(dst, 3)<<7 | bit(second, 4)<<6 | bit(second, 3)<<5 | bit(dst, 4)<<4 | 2,
		^first&15<<3 | 1<<2 | 2,
		2<<5 | bit(first, 4)<<3,
		0x52,
		3<<6 | dst&7<<3 | second&7,
	}
}
