package cli

import (
	"errors"
	"fmt"
	"slices"

	"agentbox/internal/audit"
	"agentbox/internal/session"
)

// What a bundle says of a session that neither runs nor is frozen.
const (
	stateEnded  = "ended"
	stateKilled = "killed" // its supervisor was, and no sweep has looked since
)

// A subject is the session that evidence is about, in whatever state it is.
type subject struct {
	id   string
	root string       // of the sessions that run
	info session.Info // empty where only the log is left
	live bool         // there is a supervisor
	dead bool         // there was one, and what it left is still there
	kept *session.Kept
	log  string // "": it cannot be found
	lost error  // why
}

func (s *subject) state() string {
	switch {
	case s.live:
		return s.info.State
	case s.dead:
		return stateKilled
	}
	return stateEnded
}

// moment says whether what is collected belongs together.
func (s *subject) moment() string {
	switch s.state() {
	case session.Frozen:
		return "every process of the box was stopped while the documents were made"
	case stateEnded:
		return "the session had ended"
	case stateKilled:
		return "the supervisor had been killed; what of its box was still there is in the documents"
	}
	return "the box ran while the documents were made: they are of slightly different moments"
}

// subject finds a session by the beginning of its ID, or the latest one of this project; among these, one that runs goes
// before one that has ended.
func (c *caller) subject(dir, prefix string) (*subject, error) {
	root, live, project, err := c.liveSessions()
	if err != nil {
		return nil, err
	}
	dead, err := session.Dead(root)
	if err != nil {
		c.voice.warnf("%s", err)
	}
	_, records, err := c.records()
	if err != nil {
		return nil, err
	}
	infos := append(append([]session.Info{}, live...), dead...)
	for _, k := range records {
		infos = append(infos, k.Info)
	}
	s := &subject{root: root}
	if prefix == "" {
		s.info, err = session.Pick(live, "", project)
	} else {
		s.info, err = session.Pick(distinct(infos), prefix, project)
	}
	if errors.Is(err, session.ErrAmbiguous) {
		return nil, err
	}
	if s.id = s.info.ID; err != nil {
		var unlogged error
		if s.log, unlogged = findLog(dir, prefix); unlogged == nil {
			s.id = audit.SessionOf(s.log)
		} else if s.info, err = session.Pick(distinct(infos), prefix, project); err != nil {
			return nil, unlogged
		} else {
			s.id = s.info.ID
		}
	} else if prefix != "" {
		if other, err := findLog(dir, prefix); err == nil && audit.SessionOf(other) != s.id {
			return nil, &plainError{err: fmt.Errorf("%q begins the IDs of several sessions", prefix), hint: "write more of it"}
		}
	}
	s.know(live, dead, records)
	if s.log == "" {
		s.log, s.lost = s.findLog(dir)
	}
	return s, nil
}

// know takes over what there is of the session.
func (s *subject) know(live, dead []session.Info, records []session.Kept) {
	for i := range records {
		if records[i].Info.ID == s.id {
			s.kept, s.info = &records[i], records[i].Info
		}
	}
	for _, one := range dead {
		if one.ID == s.id {
			s.dead, s.info = true, one
		}
	}
	for _, one := range live {
		if one.ID == s.id {
			s.live, s.dead, s.info = true, false, one
		}
	}
}

// findLog looks where the session said, and then where the profile says now.
func (s *subject) findLog(dir string) (string, error) {
	if dir == "" && s.kept != nil && s.kept.Workspace != "" {
		if rules, err := readRules(s.kept.Workspace); err == nil && rules.Log != nil {
			logs, _ := audit.Logs(rules.Log.Dir)
			if slices.ContainsFunc(logs, func(l audit.Stored) bool { return l.Session == s.id }) {
				return audit.Path(rules.Log.Dir, s.id), nil
			}
		}
	}
	return findLog(dir, s.id)
}

// distinct leaves each session once, where it stands first.
func distinct(infos []session.Info) []session.Info {
	seen := map[string]bool{}
	var list []session.Info
	for _, i := range infos {
		if !seen[i.ID] {
			seen[i.ID] = true
			list = append(list, i)
		}
	}
	return list
}
