package prm

import (
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// card describes the model as trained so far.
func (t *trainer) card(stores string) *modelfolder.Card {
	c := &t.c
	k := &modelfolder.Card{
		Format: modelfolder.CardFormat, Version: modelfolder.ProgramVersion(c.Version), Stores: stores, Trained: c.Train,
		Head: modelfolder.HeadOf(nnet.HeadSpec{Kind: c.Head.Kind, Activation: c.Head.Activation, Final: c.Head.Final}),
		Text: c.Text, Parts: t.record.Parts, Over: c.Reward.Over, Alpha: *c.Reward.Alpha, Threshold: t.meta.Threshold,
		Tokenizer: t.ownTokenizer,
	}
	if stores == modelfolder.StoresCheckpoint {
		k.SaveDType = c.SaveDType
	}
	if stores != modelfolder.StoresModel {
		sum, _ := t.folder.Hash() // known since the run began
		k.Base = &modelfolder.Base{Path: absolute(t.folder.RootDir), SHA256: sum}
	}
	if c.Train == nnet.TrainLoRA {
		k.LoRA = &modelfolder.LoRA{Rank: c.LoRA.Rank, Alpha: c.LoRA.Alpha, Dropout: c.LoRA.Dropout, Targets: c.LoRA.Targets,
			Layers: c.LoRA.Layers}
	}
	if id, ok := t.renderer.StepMark(); ok {
		k.StepMarkID = &id
	}
	return k
}

// saveModel writes the model folder, which replaces an older one as a whole.
func (t *trainer) saveModel(path string) error {
	contents := modelfolder.Contents{
		Card: t.card(modelfolder.StoresOf(t.c.Train)), From: t.folder, Network: t.network, DType: t.saveDType, ConfigDType: t.configDType(),
		OwnTokenizer: t.ownTokenizer != "",
	}
	if from, to, _, renamed := t.renderer.Rename(); renamed { // the step mark takes over another token
		contents.Rename = func(text []byte) ([]byte, error) { return modelfolder.RenameToken(text, from, to) }
	}
	return contents.Save(path)
}

// saveDType is the dtype in which a tensor is saved: what the configuration says, or the base's; what the base lacks is f32.
func (t *trainer) saveDType(p *nnet.Parameter) safetensors.DType {
	switch t.c.SaveDType {
	case "f32":
		return safetensors.F32
	case "bf16":
		return safetensors.BF16
	}
	if stored, ok := t.folder.RootTrunk(p.Name); ok && !p.Head {
		return stored.Info.DType
	}
	return safetensors.F32
}

// configDType is what config.json says of the weights; "" leaves it as it was.
func (t *trainer) configDType() string { return configDType(t.c.SaveDType) }

func configDType(saveDType string) string {
	return map[string]string{"f32": "float32", "bf16": "bfloat16"}[saveDType]
}
