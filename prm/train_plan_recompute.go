package prm

import (
	"cmp"
	"fmt"
	"runtime"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/nnet"
)

// PlanChoice is a run's memory with one setting of recompute, in bytes.
type PlanChoice struct {
	Recompute   string `json:"recompute"`   // layer or none
	Activations int64  `json:"activations"` // as in PlanMemory
	Total       int64  `json:"total"`
	Fits        bool   `json:"fits"`        // false also when the device's memory is not known
	MostTokens  int    `json:"most_tokens"` // of a micro-batch that would fit
}

// candidate is a run's memory with one setting of recompute.
type candidate struct {
	PlanChoice
	spec    nnet.Spec
	memory  nnet.Memory
	process int64
}

// candidates measures a run with each setting of recompute that a choice leaves open, the fastest first. What trains no trunk keeps no
// activations and has a single candidate. room is what the device can give; 0: unknown.
func candidates(spec nnet.Spec, share sharing, choice string, tokens, microBatches int, device string, room int64) ([]candidate, error) {
	settings := []string{choice}
	if choice == "auto" {
		settings = []string{"none", "layer"}
	}
	if spec.Train != nnet.TrainLoRA && spec.Train != nnet.TrainFull {
		settings = []string{""}
	}
	var list []candidate
	for _, setting := range settings {
		c := candidate{spec: spec}
		c.spec.Recompute = setting != "none"
		memory, launches, err := measure(c.spec, share, tokens, microBatches, device)
		if err != nil {
			return nil, err
		}
		if c.memory = memory; device == "cpu" {
			c.process = processBytes(spec.Config, tokens, launches, runtime.GOMAXPROCS(0))
		}
		c.PlanChoice = PlanChoice{Recompute: setting, Activations: memory.Activations, Total: memory.Total() + c.process}
		if room > 0 {
			c.Fits, c.MostTokens = c.Total <= room, mostTokens(memory, room-c.process, tokens)
		}
		list = append(list, c)
	}
	return list, nil
}

// choose is the first candidate that fits, else the last, which takes least.
func choose(list []candidate) candidate {
	for _, c := range list {
		if c.Fits {
			return c
		}
	}
	return list[len(list)-1]
}

// settle is candidates, with streamed layers where the frozen weights leave no room on a device otherwise. resident is the largest
// micro-batch that fits without.
func settle(spec nnet.Spec, share sharing, choice string, tokens, microBatches int, device string, room int64) (
	list []candidate, resident int, err error) {
	list, err = candidates(spec, share, choice, tokens, microBatches, device, room)
	if err != nil {
		return nil, 0, err
	}
	for _, c := range list {
		resident = max(resident, c.MostTokens)
	}
	if choose(list).Fits || device == "cpu" || room == 0 || spec.Train == nnet.TrainFull {
		return list, resident, nil
	}
	spec.Streamed = true
	streamed, err := candidates(spec, share, choice, tokens, microBatches, device, room)
	if err == nil && choose(streamed).Fits {
		list = streamed
	}
	return list, resident, err
}

// withoutStreaming says what else fits, of at most so many tokens a micro-batch; "": nothing.
func withoutStreaming(resident int) string {
	if resident < 512 {
		return ""
	}
	return fmt.Sprintf("batch.tokens up to %d fit without that", resident)
}

// chooseMemory settles what recompute: auto means for this run, its largest possible micro-batch, and the memory that is free now, and
// whether layers are streamed.
func (s *session) chooseMemory() error {
	s.recompute = s.c.Recompute
	spec := s.spec(s.c.Train)
	if spec.Train == nnet.TrainHead { // the trunk runs once, for the hidden states
		spec.Train, s.recompute = nnet.TrainNothing, ""
	}
	_, streams := s.backend.(engine.StreamsWeights)
	if s.recompute != "auto" && (!streams || spec.Train == nnet.TrainFull) {
		return nil
	}
	free, err := s.freeMemory()
	if err != nil {
		return fmt.Errorf("recompute: %s: %w", s.recompute, err)
	}
	longest := 0
	for _, e := range s.data.train {
		longest = max(longest, len(e.Tokens))
	}
	tokens := max(longest, min(s.c.Batch.Tokens, s.c.Batch.Trajectories*longest))
	share := sharing{s.c.ranks.Size(), s.c.Dist.Zero}
	list, resident, err := settle(spec, share, s.recompute, tokens, share.perRank(s.c.Batch.Trajectories), s.c.Device, free)
	if err != nil {
		return fmt.Errorf("recompute: %s: %w", s.recompute, err)
	}
	c := choose(list)
	if s.recompute, s.streamed = c.Recompute, c.spec.Streamed; s.streamed {
		s.log.warnf("the model does not fit in %s of %s: the frozen weights of its layers, %s, are brought there for each micro-batch, "+
			"which is slow; %s", bytesText(free), s.backend.Name(), bytesText(c.memory.Streamed),
			cmp.Or(withoutStreaming(resident), "a device with more memory would be faster"))
	}
	if len(list) == 2 {
		s.log.infof("recompute: %s: micro-batches of up to %d tokens take %s with none and %s with layer, of %s that may be used", s.recompute,
			tokens, bytesText(list[0].Total), bytesText(list[1].Total), bytesText(free))
	}
	return nil
}

// freeMemory is what the run may take of its device's memory; 0 if that is unknown.
func (s *session) freeMemory() (int64, error) {
	if device, ok := s.backend.(engine.ReportsMemory); ok {
		free, err := device.FreeMemory()
		return usable(free), err
	}
	return mmap.Available() / 4 * 3 / s.c.ranksHere(), nil // other programs, and pages of files, need some
}
