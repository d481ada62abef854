//go:build !noasm

package cpu

// peakLoops are those of each dtype one after the other.
func peakLoops() []peakLoop {
	tile := func(s *instructionSet) int { return 2 * s.mr * 2 * s.lanes }
	return []peakLoop{
		{"f32", "VFMADD231PS, 256 bits", runsAVX2, false, peakFMA8, tile(avx2Set)},
		{"f32", "VFMADD231PS, 512 bits", runsAVX512, true, peakFMA16, tile(avx512Set)},
		{"bf16", "VDPBF16PS, 512 bits", runsAVX512BF16, true, peakBF16, 2 * tile(avx512Set)},
		{"int8", "VPMADDWD and VPADDD, 256 bits", runsAVX2, false, peakInt8x16, 2 * tile(avx2Set)},
		{"int8", "VPDPBUSD, 512 bits", runsAVX512VNNI, true, peakInt8x64, 4 * tile(avx512Set)},
	}
}
