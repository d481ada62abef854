package formats

import (
	"fmt"
	"slices"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// lastToken is the last token of a text that has one.
func lastToken(tok tokenizer.Tokenizer, text string) (int32, error) {
	ids, _, err := tok.Encode(text)
	if err == nil && len(ids) == 0 {
		err = fmt.Errorf("%q has no tokens", text)
	}
	if err != nil {
		return 0, err
	}
	return ids[len(ids)-1], nil
}

// tokensTo counts the tokens that end at byte at or before; ok tells whether one ends exactly there.
func tokensTo(ends []int, at int) (n int, ok bool) {
	n, _ = slices.BinarySearch(ends, at+1)
	return n, n > 0 && ends[n-1] == at
}

// named returns a head whose tensors have other names in the folder.
func named(w *hfmodel.Weights, names map[string]string) (nnet.Lookup, error) {
	found := map[string]nnet.StoredTensor{}
	for name, inFile := range names {
		t, ok := w.Lookup(inFile)
		if !ok {
			return nil, fmt.Errorf("tensor %q of the head is missing", inFile)
		}
		found[name] = nnet.StoredTensor{File: t.File.Path(), Info: t.Info, Data: t.Bytes}
	}
	return lookup(found), nil
}

func lookup(found map[string]nnet.StoredTensor) nnet.Lookup {
	return func(name string) (nnet.StoredTensor, bool) {
		s, ok := found[name]
		return s, ok
	}
}

// linear names the head that is one linear layer with a bias, score.weight and score.bias here.
func linear(weight, bias string) map[string]string {
	return map[string]string{"score.weight": weight, "score.bias": bias}
}

const lmHead = "lm_head.weight"

// vocabularyHead is the folder's language-model head, [V, h]: the one that is stored, even where config.json ties it to the embedding.
// Where the two differ, transformers does not tie them either; where they are copies, either is right.
func vocabularyHead(f *Folder) (nnet.StoredTensor, error) {
	names := []string{lmHead}
	if f.Config.TieWordEmbeddings {
		names = append(names, "model.embed_tokens.weight", "embed_tokens.weight")
	}
	for _, name := range names {
		if t, ok := f.Weights.Lookup(name); ok {
			return nnet.StoredTensor{File: t.File.Path(), Info: t.Info, Data: t.Bytes}, nil
		}
	}
	return nnet.StoredTensor{}, fmt.Errorf("tensor %q is missing", names[0])
}

// pair is a two-class head of two rows of the language-model head: the logits of the tokens for bad and for good, so that the
// probability of class 1 is that of good among the two. No other row is ever used.
func pair(f *Folder, bad, good int32) (nnet.Lookup, error) {
	head, err := vocabularyHead(f)
	if err != nil {
		return nil, err
	}
	if bad == good {
		return nil, fmt.Errorf("the tokens for good and bad are the same (%d): not this format's tokenizer", good)
	}
	return lookup(map[string]nnet.StoredTensor{"score.weight": rows(head, bad, good)}), nil
}

// rows copies some rows of a matrix. The tokenizer's ids are below the vocabulary's size.
func rows(s nnet.StoredTensor, ids ...int32) nnet.StoredTensor {
	width := s.Info.DType.Size() * int64(s.Info.Shape[1])
	picked := nnet.StoredTensor{File: s.File, Info: safetensors.Info{Name: s.Info.Name, DType: s.Info.DType,
		Shape: []int{len(ids), s.Info.Shape[1]}}}
	for _, id := range ids {
		picked.Data = append(picked.Data, s.Data[int64(id)*width:(int64(id)+1)*width]...)
	}
	picked.Info.End = int64(len(picked.Data))
	return picked
}
