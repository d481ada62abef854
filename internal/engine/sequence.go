package engine

import "context"

// Sequence is a list of launches that is run again and again: one by one the first time, and recorded for the runs that
// follow where the backend records.
type Sequence struct {
	Backend  Backend
	Launches []Launch
	// Unrecorded sequences hold launches that do more than launch: they are done one by one each time.
	Unrecorded bool

	runs      int // whole ones since Forget
	recording Recording
}

// Run does every launch. It does not wait.
func (s *Sequence) Run() error { return s.RunContext(context.Background()) }

// RunContext is Run, which looks at the context before each launch and returns its error when it has ended. A recording is
// replayed whole.
func (s *Sequence) RunContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	recorder, ok := s.Backend.(Recorder)
	if !ok || s.Unrecorded || s.runs == 0 {
		err := s.launchAll(ctx)
		if err == nil {
			s.runs++
		}
		return err
	}
	if s.recording == nil {
		var err error
		if s.recording, err = recorder.Record(func() error { return s.launchAll(context.Background()) }); err != nil {
			return err
		}
	}
	return s.recording.Replay()
}

func (s *Sequence) launchAll(ctx context.Context) error {
	for _, launch := range s.Launches {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := launch(); err != nil {
			return err
		}
	}
	return nil
}

// Forget drops what was recorded, because addresses have changed or nobody needs it any more.
func (s *Sequence) Forget() error {
	s.runs = 0
	if s.recording == nil {
		return nil
	}
	r := s.recording
	s.recording = nil
	return r.Close()
}
