package prm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/onekey"
	"github.com/goprm/goprm/internal/strictyaml"
)

// Contents of a run folder.
const (
	configName      = "config.yaml"
	recordName      = "run.json"
	metricsName     = "metrics.jsonl"
	eventsName      = "events"
	checkpointsName = "checkpoints"
	modelName       = "model"
	lockName        = ".lock" // while a process trains there
)

// runRecord is run.json: what a run depends on.
type runRecord struct {
	Version   string            `json:"version"`
	Started   string            `json:"started"` // RFC 3339
	Model     hashed            `json:"model"`
	Tokenizer hashed            `json:"tokenizer"`
	Data      recordData        `json:"data"`
	Seeds     map[string]uint64 `json:"seeds"`
	Device    string            `json:"device"`
	Backend   string            `json:"backend"`
	DType     string            `json:"dtype"`
	Counts    Counts            `json:"counts"`
	// LambdaFinal is the value that loss.lambda_final was resolved to.
	LambdaFinal float64 `json:"lambda_final"`
	// Recompute is what recompute: auto chose, or what was asked for, when the run was last started; "" with train: head.
	Recompute     string      `json:"recompute,omitempty"`
	Parts         []string    `json:"parts"` // what had labels
	HeadInit      string      `json:"head_init"`
	StepsPerEpoch int         `json:"steps_per_epoch"`
	Steps         int         `json:"steps"` // total optimizer steps
	History       []extension `json:"history"`
	Complete      bool        `json:"complete"`
	// ModelFiles are the names and sizes of the files of the model folder, once the run is complete.
	ModelFiles map[string]int64 `json:"model_files,omitempty"`
	Warnings   []string         `json:"warnings"`
	// Ranks has an entry for each session of several processes, and for one of a single process after those.
	Ranks []ranksRecord `json:"ranks,omitempty"`
	// TrackedAs is the run's id at the server of tracking.
	TrackedAs string `json:"tracked_as,omitempty"`
}

// hashed names files by path and content.
type hashed struct {
	Path   string   `json:"path,omitempty"`
	Files  []string `json:"files,omitempty"`
	SHA256 string   `json:"sha256,omitempty"`
}

type recordData struct {
	Train hashed  `json:"train"`
	Eval  *hashed `json:"eval,omitempty"` // nil: a share of Train
}

// extension is one change of the run's length, of its rates, or of both.
type extension struct {
	FromStep int      `json:"from_step"` // the first steps have the former length's learning rates
	Steps    int      `json:"steps"`
	Before   int      `json:"before"`
	Changed  []change `json:"changed,omitempty"`
	Time     string   `json:"time"`
}

// describe fills the record of the run.
func (s *session) describe() error {
	c := &s.c
	model, err := s.folder.ContentHash()
	if err != nil {
		return err
	}
	tokenizer := s.tokenizerSum
	if s.ownTokenizer != "" {
		tokenizer = s.ownTokenizer + "+" + tokenizer // the folder's chat template counts too
	}
	s.record = runRecord{
		Version: modelfolder.ProgramVersion(c.Version), Started: now(),
		Model: hashed{Path: absolute(c.Model), SHA256: model}, Tokenizer: hashed{Path: absolute(s.folder.TextDir), SHA256: tokenizer},
		Data:   recordData{Train: hashed{Files: c.Data.Train, SHA256: s.data.trainSum}},
		Seeds:  map[string]uint64{"order": *c.Seed, "split": *c.Seed, "init": *c.Seed},
		Device: c.Device, Backend: c.Backend, DType: c.DType, Counts: s.data.counts, LambdaFinal: s.data.lambdaFinal, Parts: s.data.parts,
		Recompute:     s.recompute,
		StepsPerEpoch: s.data.stepsPerEpoch(c), Steps: s.steps(), History: []extension{}, Warnings: []string{},
	}
	s.newSteps = s.record.Steps
	if s.data.evalSum != "" {
		s.record.Data.Eval = &hashed{Files: c.Data.Eval, SHA256: s.data.evalSum}
	}
	return nil
}

// steps is the run's length in optimizer steps.
func (s *session) steps() int {
	if s.c.Optim.Steps > 0 {
		return s.c.Optim.Steps
	}
	return s.c.Optim.Epochs * s.data.stepsPerEpoch(&s.c)
}

// changedContent lists files whose content has changed although the configuration names the same ones.
func (r *runRecord) changedContent(now *runRecord) []string {
	var changed []string
	for _, h := range []struct {
		key         string
		before, now hashed
	}{
		{"model", r.Model, now.Model}, {"model (its tokenizer)", r.Tokenizer, now.Tokenizer},
		{"data.train", r.Data.Train, now.Data.Train}, {"data.eval", r.Data.evalHash(), now.Data.evalHash()},
	} {
		if h.before.SHA256 != h.now.SHA256 {
			changed = append(changed,
				fmt.Sprintf("%s (its content: SHA-256 %.12s, now %.12s)", h.key, orNone(h.before.SHA256), orNone(h.now.SHA256)))
		}
	}
	return changed
}

func (d recordData) evalHash() hashed {
	if d.Eval == nil {
		return hashed{}
	}
	return *d.Eval
}

func orNone(sum string) string {
	if sum == "" {
		return "none"
	}
	return sum
}

// runState says whether the run folder exists.
type runState int

const (
	runAbsent runState = iota
	runBegun
)

// inspectRun reports whether out holds a run to resume, and refuses anything else that is there.
func inspectRun(out string, resume bool) (runState, error) {
	info, err := os.Stat(out)
	if errors.Is(err, fs.ErrNotExist) {
		return runAbsent, nil
	}
	if err != nil {
		return runAbsent, fmt.Errorf("out: %w", err)
	}
	if !info.IsDir() {
		return runAbsent, fmt.Errorf("out: %s is there and is not a folder", out)
	}
	if !resume {
		return runAbsent, fmt.Errorf("out: the run folder %s is there already: resume it, or give another", out)
	}
	for _, name := range []string{configName, recordName} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			return runAbsent, fmt.Errorf("out: %s cannot be resumed: it is not a run folder: %w", out, err)
		}
	}
	return runBegun, nil
}

// createRun makes the run folder with config.yaml and run.json, completely or not at all.
func (s *session) createRun() error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(s.c.Out)), 0o777); err != nil {
		return fmt.Errorf("out: %w", err)
	}
	dir, err := atomicfile.NewDir(s.c.Out)
	if err != nil {
		return fmt.Errorf("out: %w", err)
	}
	config, record, err := s.descriptions()
	if err == nil {
		err = dir.WriteFile(configName, writeBytes(config))
	}
	if err == nil {
		err = dir.WriteFile(recordName, writeBytes(record))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("out: %w", err), dir.Abort())
	}
	err = dir.Commit()
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("out: the run folder %s is there already, made by another process since this one began: resume it, or give another",
			s.c.Out)
	}
	if err != nil {
		return fmt.Errorf("out: %w", err)
	}
	return nil
}

func (s *session) descriptions() (config, record []byte, err error) {
	if config, err = strictyaml.Encode(s.c); err != nil {
		return nil, nil, err
	}
	record, err = json.MarshalIndent(s.record, "", "  ")
	return config, append(record, '\n'), err
}

// saveDescriptions replaces config.yaml and run.json. run.json is written last: its number of steps is authoritative.
func (s *session) saveDescriptions() error {
	config, record, err := s.descriptions()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(s.c.Out, configName), writeBytes(config)); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(s.c.Out, recordName), writeBytes(record))
}

// sameBits tells whether the kernels of two configurations differ in name at most. A run may so go on on another processor.
func sameBits(a, b TrainConfig) bool {
	return a.DType == b.DType && engine.BitsOf(a.Backend, a.DType) == engine.BitsOf(b.Backend, b.DType)
}

// continueRun compares the run in the folder with this session's, refuses what would change its numbers, and takes over its record.
func (s *session) continueRun() error {
	before := DefaultTrainConfig()
	path := filepath.Join(s.c.Out, configName)
	text, err := onekey.ReadFile(path, strictyaml.MaxBytes)
	if err != nil {
		return err
	}
	if err := strictyaml.Decode(text, path, &before); err != nil {
		return err
	}
	record, err := readRecord(filepath.Join(s.c.Out, recordName))
	if err != nil {
		return err
	}
	if sameBits(before, s.c) {
		before.Backend = s.c.Backend
	}
	if changed := append(changedKeys(before, s.c), record.changedContent(&s.record)...); len(changed) > 0 {
		return fmt.Errorf("%s cannot be resumed with another %s: only %s may change", s.c.Out,
			strings.Join(changed, "; "), strings.Join(slices.Concat(lengthKeys, rateKeys), ", "))
	}
	if record.Version != s.record.Version {
		s.log.warnf("the run was begun by version %s, this is %s: the bits may differ", record.Version, s.record.Version)
	}
	record.Recompute = s.recompute
	s.record, s.rates = *record, changedRates(before, s.c)
	return nil
}

func readRecord(path string) (*runRecord, error) {
	text, err := onekey.ReadFile(path, strictyaml.MaxBytes)
	if err != nil {
		return nil, err
	}
	var r runRecord
	if err := onekey.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

func writeBytes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

// filesOf lists a folder's files with their sizes.
func filesOf(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			sizes[entry.Name()] = info.Size()
		}
	}
	return sizes, nil
}
