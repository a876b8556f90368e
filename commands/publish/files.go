package publish

import (
	"context"
	"fmt"
	"os"

	"f2bc/store/state"
)

// A Target is where a list goes.
type Target struct {
	Path   string   // of the file, or of the first one
	Split  int      // prefixes a file, 0 for one file
	Reload string   // a command for sh after a change of a file, empty for none
	Env    []string // of that command; nil is the environment of this process
}

// Write writes the list into its file or files. All are written before the first is renamed: after a failure, a full
// disk for example, either all or none are new. Then it reloads, if that is owed. The error is a LimitError if there
// would be too many files.
func (l *List) Write(ctx context.Context, t Target) error {
	files, err := l.split(t)
	if err != nil {
		return err
	}
	var changed []*state.Staged
	defer func() {
		for _, s := range changed {
			s.Discard()
		}
	}()
	for _, f := range files {
		// Readable by all, since a web server serves it.
		s, err := state.Stage(f.path, 0o644, func(w *os.File) error { return l.Format.Write(w, f.list) })
		if err != nil {
			return fmt.Errorf("write %s, the old file stands: %w", f.path, err)
		}
		if s != nil {
			changed = append(changed, s)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.Reload != "" && len(changed) > 0 {
		if err := t.oweReload(); err != nil {
			return fmt.Errorf("note that a reload is owed, the old file stands: %w", err)
		}
	}
	for _, s := range changed {
		if err := s.Commit(); err != nil {
			return fmt.Errorf("write %s: %w", s.Path(), err)
		}
	}
	if t.Reload == "" {
		return nil
	}
	return t.reload(ctx)
}
