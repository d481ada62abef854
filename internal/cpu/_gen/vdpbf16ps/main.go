// Command vdpbf16ps rewrites a file of assembly: each VPDPWSSD of three 512-bit registers becomes the bytes of VDPBF16PS, and each VPMOVDW
// of registers those of VCVTNEPS2BF16, which Go's assembler does not know.
package main

import (
	"fmt"
	"log"
	"os"
	"regexp"
	"strconv"
)

// standIns are the instructions as they are written, the name of what becomes of them, and its opcode.
var standIns = []struct {
	written *regexp.Regexp
	name    string
	opcode  byte
}{
	{regexp.MustCompile(`(?m)^\tVPDPWSSD +Z(\d+), Z(\d+), Z(\d+)$`), "VDPBF16PS Z%d, Z%d, Z%d", 0x52},
	{regexp.MustCompile(`(?m)^\tVPMOVDW +Z(\d+), Y(\d+)$`), "VCVTNEPS2BF16 Z%d, Y%d", 0x72},
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for _, in := range standIns {
		text = in.written.ReplaceAllFunc(text, func(line []byte) []byte {
			var r []any
			for _, digits := range in.written.FindSubmatch(line)[1:] {
				n, _ := strconv.Atoi(string(digits))
				r = append(r, byte(n))
			}
			out, between := "\t", byte(0) // which stands for no register too
			if len(r) == 3 {
				between = r[1].(byte)
			}
			for _, b := range encode(in.opcode, r[len(r)-1].(byte), between, r[0].(byte)) {
				out += fmt.Sprintf("BYTE $0x%02x; ", b)
			}
			return fmt.Appendf(nil, "%s// "+in.name, append([]any{out}, r...)...)
		})
	}
	if err := os.WriteFile(os.Args[1], text, 0o644); err != nil {
		log.Fatal(err)
	}
}

// encode is EVEX.512.F3.0F38.W0 with an opcode, as in dst += first·second. Register bits are stored inverted.
func encode(opcode, dst, first, second byte) []byte {
	bit := func(r, n byte) byte { return ^r >> n & 1 }
	return []byte{
		0x62,
		bit(dst, 3)<<7 | bit(second, 4)<<6 | bit(second, 3)<<5 | bit(dst, 4)<<4 | 2,
		^first&15<<3 | 1<<2 | 2,
		2<<5 | bit(first, 4)<<3,
		opcode,
		3<<6 | dst&7<<3 | second&7,
	}
}
