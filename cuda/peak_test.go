//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"strings"
	"testing"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/stretchr/testify/require"
)

// rates are what a device does in a second at most: flops of dense products of bf16 with f32 sums, and bytes of its memory.
type rates struct{ flops, bytes float64 }

// flopsPerClock of a multiprocessor, from NVIDIA's data sheets divided by clock and number. GeForce cards of 8.6, 8.9 and 12.0
// do half.
var flopsPerClock = map[string]float64{"8.0": 2048, "8.6": 1024, "8.9": 1024, "9.0": 4096, "10.0": 8192, "12.0": 1024}

// ratesOf takes the highest clocks in kHz, as the driver names them; 0: unknown. An H100 SXM names 1.98 GHz, which is 1,071
// TFLOP/s, where its data sheet has 989.
func ratesOf(d Device, clock, memoryClock, busBits int) rates {
	flops := flopsPerClock[d.Capability]
	if strings.Contains(d.Model, "GeForce") && d.Capability != "8.0" {
		flops /= 2
	}
	return rates{flops * float64(d.Multiprocessors) * float64(clock) * 1e3, 2 * float64(memoryClock) * 1e3 * float64(busBits) / 8}
}

func ratesOfDevice(b *testing.B) rates {
	d, err := describe(0)
	require.NoError(b, err)
	var of [3]int
	for i, which := range []int{driver.ClockRate, driver.MemoryClockRate, driver.MemoryBusWidth} {
		of[i], err = driver.Attribute(d.handle, which)
		require.NoError(b, err)
	}
	return ratesOf(d, of[0], of[1], of[2])
}

// reportShare gives a rate's share of what it may be at most, where that is known.
func reportShare(b *testing.B, achieved, most float64) {
	if most > 0 {
		b.ReportMetric(100*achieved/most, "%peak")
	}
}

// The rates of the data sheets: dense bf16, f32 sums.
func TestPeakRates(t *testing.T) {
	for _, c := range []struct {
		device                  Device
		clock, memoryClock, bus int // MHz, MHz, bits
		teraflops, terabytes    float64
	}{
		{Device{Model: "NVIDIA A100-SXM4-80GB", Capability: "8.0", Multiprocessors: 108}, 1410, 1593, 5120, 312, 2.039},
		{Device{Model: "NVIDIA H100 80GB HBM3", Capability: "9.0", Multiprocessors: 132}, 1830, 2619, 5120, 989.4, 3.35},
		{Device{Model: "NVIDIA L40S", Capability: "8.9", Multiprocessors: 142}, 2520, 9001, 384, 362, 0.864},
		{Device{Model: "NVIDIA GeForce RTX 4090", Capability: "8.9", Multiprocessors: 128}, 2520, 10501, 384, 165.2, 1.008},
		{Device{Model: "NVIDIA GeForce RTX 3090", Capability: "8.6", Multiprocessors: 82}, 1695, 9751, 384, 71, 0.936},
	} {
		r := ratesOf(c.device, 1000*c.clock, 1000*c.memoryClock, c.bus)
		require.InEpsilon(t, c.teraflops, r.flops/1e12, 0.02, c.device.Model)
		require.InEpsilon(t, c.terabytes, r.bytes/1e12, 0.01, c.device.Model)
	}
	require.Zero(t, ratesOf(Device{Capability: "7.5", Multiprocessors: 40}, 1, 1, 1).flops)
}
