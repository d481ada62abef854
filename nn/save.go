package nn

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// Save writes a model folder that Open and prm.Open read: everything for Train Full, else adapters and head with the path and
// the hash of the base. A folder with an expression's parameters says so, and is opened with the same expression. An older model
// in the folder is replaced as a whole.
func (n *Network) Save(dir string) error {
	done, err := n.begin(context.Background())
	if err != nil {
		return err
	}
	defer done()
	if n.options.Train == None {
		return errors.New("Save: the network trains nothing, so there is nothing to save beside its folder")
	}
	sum, err := n.folder.Hash()
	if err != nil {
		return err
	}
	base, err := filepath.Abs(n.folder.RootDir)
	if err != nil {
		return err
	}
	spec, train := n.trainer.Spec(), string(n.options.Train)
	card := &modelfolder.Card{
		Format: modelfolder.CardFormat, Version: modelfolder.ProgramVersion(""), Stores: modelfolder.StoresOf(train), Trained: train,
		Head: modelfolder.HeadOf(spec.Head), CustomHead: n.options.Expr != nil, Text: n.text, Over: "trained", Alpha: 1, Threshold: 0.5,
		Parts: []string{modelfolder.PartThinking, modelfolder.PartResponse, modelfolder.PartTrajectory},
	}
	if old := n.folder.Card; old != nil {
		card.Parts, card.Over, card.Alpha, card.Threshold = old.Parts, old.Over, old.Alpha, old.Threshold
	}
	if card.Stores != modelfolder.StoresModel {
		card.Base = &modelfolder.Base{Path: base, SHA256: sum}
	}
	if l := spec.LoRA; n.options.Train == LoRA {
		card.LoRA = &modelfolder.LoRA{Rank: l.Rank, Alpha: l.Alpha, Dropout: l.Dropout, Targets: l.Targets, Layers: l.Layers}
	}
	return modelfolder.Contents{Card: card, From: n.folder, Network: n.trainer, DType: n.storedDType}.Save(dir)
}

// storedDType keeps the base's dtype; what the base lacks is f32.
func (n *Network) storedDType(p *nnet.Parameter) safetensors.DType {
	if stored, ok := n.folder.RootTrunk(p.Name); ok && !p.Head {
		return stored.Info.DType
	}
	return safetensors.F32
}
