package engine

// Sequence is a list of launches that is run again and again: one by one the first time, and recorded for the runs that
// follow where the backend records.
type Sequence struct {
	Backend  Backend
	Launches []Launch

	runs      int // since Forget
	recording Recording
}

// Run does every launch. It does not wait.
func (s *Sequence) Run() error {
	recorder, ok := s.Backend.(Recorder)
	s.runs++
	if !ok || s.runs == 1 {
		return s.launchAll()
	}
	if s.recording == nil {
		var err error
		if s.recording, err = recorder.Record(s.launchAll); err != nil {
			return err
		}
	}
	return s.recording.Replay()
}

func (s *Sequence) launchAll() error {
	for _, launch := range s.Launches {
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
