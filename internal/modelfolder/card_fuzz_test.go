package modelfolder

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseCard: a goprm.json is refused or means the same when it is written and read again.
func FuzzParseCard(f *testing.F) {
	id := int32(7)
	head := Head{Kind: "linear", Activation: "sigmoid", Final: "mean"}
	base := &Base{Path: "../base", SHA256: "00"}
	for _, card := range []Card{
		{Format: CardFormat, Stores: StoresModel, Head: head, Parts: []string{PartThinking}, StepMarkID: &id},
		{Format: CardFormat, Stores: StoresHead, Head: head, Base: base, CustomHead: true, Files: map[string]string{"head.safetensors": "00"}},
		{Format: CardFormat, Stores: StoresAdapter, Head: head, Base: base, LoRA: &LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}}},
	} {
		text, err := card.Encode()
		require.NoError(f, err)
		_, err = ParseCard(text)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		card, err := ParseCard(text)
		if err != nil {
			return
		}
		again, err := card.Encode()
		require.NoError(t, err)
		read, err := ParseCard(again)
		require.NoError(t, err)
		require.Equal(t, card, read)
	})
}
