package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"agentbox/internal/audit"
	"agentbox/launch"
	"agentbox/profile"
)

// findLog finds the log of a session, or of the latest one of this project. It may consist of several files, for all of which
// the name stands.
func findLog(dir, id string) (string, error) {
	dir, project, err := logDir(dir)
	if err != nil {
		return "", err
	}
	if id == audit.RetentionLog {
		path := audit.Path(dir, id)
		if _, err := os.Lstat(path); os.IsNotExist(err) {
			return "", &plainError{err: fmt.Errorf("no log was removed from %s", dir)}
		}
		return path, nil
	}
	logs, err := audit.Logs(dir)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	if id == "" {
		slices.SortFunc(logs, func(a, b audit.Stored) int { return b.Changed.Compare(a.Changed) })
		for _, log := range logs {
			if path := audit.Path(dir, log.Session); inside(project, workspaceOf(path)) {
				return path, nil
			}
		}
		return "", &plainError{err: fmt.Errorf("no session of this project is on record in %s", dir), hint: "name one by its ID"}
	}
	session, err := pickLog(dir, logs, id)
	if err != nil {
		return "", err
	}
	return audit.Path(dir, session.Session), nil
}

// pickLog finds the one log whose session's ID begins with id.
func pickLog(dir string, logs []audit.Stored, id string) (audit.Stored, error) {
	var found []audit.Stored
	for _, log := range logs {
		if strings.HasPrefix(log.Session, id) {
			found = append(found, log)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return audit.Stored{}, &plainError{err: fmt.Errorf("no session %q is on record in %s", id, dir), hint: removedHint(dir, id)}
	}
	return audit.Stored{}, &plainError{err: fmt.Errorf("%q begins the IDs of %d sessions", id, len(found)), hint: "write more of it"}
}

// removedHint says that a log was there, where that is on record.
func removedHint(dir, id string) (hint string) {
	for r, err := range audit.RemovedFrom(dir) {
		if err != nil {
			break
		}
		if e, err := r.Event(); err == nil {
			if e, ok := e.(*audit.Removed); ok && strings.HasPrefix(string(e.Session), id) {
				hint = fmt.Sprintf(`the log of session %s was removed at %s; "agentbox log %s" has its last hash`, e.Session,
					r.Time.Local().Format("2006-01-02 15:04"), audit.RetentionLog)
			}
		}
	}
	return hint
}

// removedSummary is what `log retention` shows of a log that was removed.
func removedSummary(e *audit.Removed) string {
	why := map[audit.Text]string{audit.ByAge: "as too old", audit.BySize: "to make room", audit.ByAsked: fmt.Sprintf("because user %d asked", e.UID)}[e.Why]
	return fmt.Sprintf("the log of session %s, last written at %s, %s: %s, %d records, %s in %s, last hash %s", e.Session, e.Changed, why, e.Verdict, e.Records,
		humanize.IBytes(uint64(max(0, e.Bytes))), counted(len(e.Files), "file", "files"), e.Last)
}

// workspaceOf reads a log's first record.
func workspaceOf(path string) string {
	f, err := audit.OpenAll(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for r, err := range audit.Records(f) {
		if err != nil {
			break
		}
		if e, err := r.Event(); err == nil {
			if s, ok := e.(*audit.Start); ok {
				return string(s.Workspace)
			}
		}
		break
	}
	return "\x00" // below which nothing lies
}

// logDir is where the profile that holds here keeps its logs.
func logDir(dir string) (logs, project string, err error) {
	if dir != "" {
		h, err := launch.Probe()
		return dir, h.Dir, err
	}
	a, host, err := auditPolicy()
	if err != nil {
		return "", "", err
	}
	return auditDir(a.Dir, host.Files.Home), host.Dir, nil
}

// auditPolicy is what the profile that holds here says of logs.
func auditPolicy() (profile.Audit, launch.Host, error) {
	h, err := launch.Probe()
	if err != nil {
		return profile.Audit{}, h, err
	}
	l, err := newLoader(h)
	if err != nil {
		return profile.Audit{}, h, err
	}
	p, err := l.load(profileOptions{})
	if err != nil {
		return profile.Audit{}, h, err
	}
	return p.effective.Profile.Audit, h, nil
}
