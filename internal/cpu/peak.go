package cpu

import (
	"time"

	"github.com/goprm/goprm/internal/engine"
)

// peakLoop is one instruction on registers alone.
type peakLoop struct {
	dtype, instruction string
	runs               func() bool
	avx512             bool
	loop               func(n int)
	each               int // multiplications and additions of one time around
}

// MeasurePeaks is part of engine.MeasuresPeaks: for each dtype the fastest instruction that this machine runs; AVX2's own kernels are
// measured by AVX2's.
func (b *backend) MeasurePeaks() ([]engine.Peak, error) {
	var best []engine.Peak
	for _, l := range peakLoops() {
		if !l.runs() || l.avx512 && b.name == "cpu/avx2" {
			continue
		}
		rate, err := b.pool.rate(l)
		if err != nil {
			return nil, err
		}
		peak := engine.Peak{DType: l.dtype, Instruction: l.instruction, PerSecond: rate}
		switch last := len(best) - 1; {
		case last < 0 || best[last].DType != l.dtype:
			best = append(best, peak)
		case rate > best[last].PerSecond:
			best[last] = peak
		}
	}
	return best, nil
}

// rate is the best of several runs of about 5 ms by all workers together.
func (p *pool) rate(l peakLoop) (perSecond float64, err error) {
	times := 1 << 12
	for range 20 {
		began := time.Now()
		if err := p.run(p.helpers+1, func(int) { l.loop(times) }); err != nil {
			return 0, err
		}
		took := time.Since(began).Seconds()
		if took < 2e-3 {
			times *= 2
			continue
		}
		perSecond = max(perSecond, float64(times)*float64(l.each*(p.helpers+1))/took)
	}
	return perSecond, nil
}
