package prm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// passOver does what on_nonfinite says of a step that was not applied: an error ends the run.
func (t *trainer) passOver(step int, bad *nnet.NonFiniteError, micros []nnet.Micro) error {
	policy, budget := t.c.OnNonFinite, *t.c.NonFiniteBudget
	if policy == "stop" {
		return fmt.Errorf("step %d: %w; %s", step, &NonFiniteStepError{bad.Tensor}, t.wayOut(step, micros))
	}
	if t.meta.NonFinite >= budget {
		return fmt.Errorf("step %d: %w; nonfinite_budget: %d steps were passed over already; %s", step, &NonFiniteStepError{bad.Tensor}, budget,
			t.wayOut(step, micros))
	}
	t.meta.NonFinite++
	how := "its batch is passed over"
	if policy == "rollback" {
		from, err := t.newestWhole()
		if err != nil {
			return fmt.Errorf("step %d: %w; on_nonfinite: rollback: %w", step, &NonFiniteStepError{bad.Tensor}, err)
		}
		var meta checkpointMeta
		if err := from.Meta(&meta); err != nil {
			return err
		}
		if err := t.restoreWeights(from, meta.Updates); err != nil {
			return err
		}
		how = fmt.Sprintf("the run goes on with the weights of step %d and the next batch", from.Step())
	}
	t.say.warnf("step %d: NaN or Inf in %s: %s (%d of nonfinite_budget: %d)", step, bad.Tensor, how, t.meta.NonFinite, budget)
	return nil
}

func (t *trainer) newestWhole() (*checkpoint.Checkpoint, error) {
	from, err := checkpoint.Newest(filepath.Join(t.c.Out, checkpointsName), func(string, string) {})
	if errors.Is(err, checkpoint.ErrNone) {
		return nil, errors.New("there is no checkpoint to go back to yet")
	}
	return from, err
}

// wayOut says what can be done about a step that cannot be taken. A resumption is advised only where the checkpoint's weights can take
// it: the order of batches is fixed, so from others it would end there again. It leaves the network with a checkpoint's weights.
func (t *trainer) wayOut(step int, micros []nnet.Micro) string {
	const smaller = "a smaller optim.lr, optim.head_lr or optim.clip"
	from, err := t.newestWhole()
	switch {
	case step == 1:
		return "no update was made yet, so no learning rate helps: the model's numbers are too large for " + t.c.DType + ", or a label is"
	case err != nil:
		return "there is no checkpoint yet: begin anew with " + smaller
	}
	intact := fmt.Sprintf("the checkpoint of step %d is intact", from.Step())
	if t.restoreWeights(from, 0) == nil {
		if _, _, err := t.network.Gradients(micros); err == nil {
			return fmt.Sprintf("%s: resume from it with %s", intact, smaller)
		}
	}
	return fmt.Sprintf("%s, but its weights cannot take this step either: begin a new run with %s", intact, smaller)
}

// checkFinite refuses weights with NaN or Inf before anything is computed with them.
func (s *session) checkFinite() error {
	for _, file := range s.folder.Root.Files() {
		for _, info := range file.Tensors() {
			if i := firstNonFinite(info.DType, file.Bytes(info.Name)); i >= 0 {
				return fmt.Errorf("model: %s: tensor %s: number %d is NaN or Inf: the weights are damaged, or were so when they were saved",
					file.Path(), info.Name, i)
			}
		}
	}
	return nil
}

// firstNonFinite is the index of the first NaN or Inf, whose exponents are all ones; -1 if there is none, or the dtype has none.
func firstNonFinite(dtype safetensors.DType, raw []byte) int {
	var exponent, low uint64 // of each number in eight bytes: its exponent's bits, its lowest bit
	switch dtype {
	case safetensors.BF16:
		exponent, low = 0x7f807f807f807f80, 0x0001000100010001
	case safetensors.F16:
		exponent, low = 0x7c007c007c007c00, 0x0001000100010001
	case safetensors.F32:
		exponent, low = 0x7f8000007f800000, 0x0000000100000001
	case safetensors.F64:
		exponent, low = 0x7ff0000000000000, 1
	default:
		return -1
	}
	width := int(dtype.Size())
	high := low << (8*width - 1)
	at := 0
	for ; at+8 <= len(raw); at += 8 {
		missing := ^binary.LittleEndian.Uint64(raw[at:]) & exponent
		if (missing-low)&^missing&high != 0 { // a number of which no bit of the exponent is missing
			break
		}
	}
	for ; at+width <= len(raw); at += width {
		var padded [8]byte
		copy(padded[:], raw[at:at+width])
		mask := exponent & (1<<(8*width-1)<<1 - 1)
		if binary.LittleEndian.Uint64(padded[:])&mask == mask {
			return at / width
		}
	}
	return -1
}
