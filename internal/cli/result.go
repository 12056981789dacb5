package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
	"agentbox/launch"
)

// A result is what `run --result FILE` writes, so that an agent's own 64 or 125 is not mistaken for agentbox's.
type result struct {
	Version  int                `json:"version"`
	Session  string             `json:"session,omitempty"`
	Resumed  string             `json:"resumed,omitempty"` // the session on whose changes this one went on
	Cause    string             `json:"cause"`
	ExitCode int                `json:"exit_code"`
	Signal   string             `json:"signal,omitempty"`
	Layer    string             `json:"layer,omitempty"`
	Limit    string             `json:"limit,omitempty"`
	Reached  []string           `json:"reached,omitempty"`
	Appeared []string           `json:"appeared,omitempty"` // protected names that were absent at the start
	Spent    *spentResult       `json:"spent,omitempty"`    // on models
	Changes  *workspace.Summary `json:"changes,omitempty"`  // in an overlay, before anything was applied
	Applied  *appliedResult     `json:"applied,omitempty"`  // where workspace.apply asks for it
	Held     []heldItem         `json:"held,omitempty"`     // what was not applied then
	Patch    *patchResult       `json:"patch,omitempty"`
	Error    string             `json:"error,omitempty"`
	Degraded []string           `json:"degraded"`
	Command  []string           `json:"command"`
	Started  time.Time          `json:"started"`
	Ended    time.Time          `json:"ended"`

	record   *recorder // nil until there is a log
	network  *network
	tools    *toolCalls // nil where no hook is answered
	programs *programLog
	kept     *keeper // nil without an overlay
	agentEnd launch.Result
	asked    bool        // somebody outside asked the agent to end
	urged    unix.Signal // by sending this one to agentbox; 0 by other means

	file, patch *placedFile // nil when nobody asked for one
}

// A spentResult is what was used of models, as far as it was counted.
type spentResult struct {
	CostUSD float64 `json:"cost_usd"`
	Tokens  int64   `json:"tokens"`
}

// An appliedResult says what was applied without a question.
type appliedResult struct {
	Policy  string `json:"policy"` // workspace.apply
	Count   int    `json:"count"`
	Receipt string `json:"receipt"`         // "" when nothing was written
	Remain  *int   `json:"remain"`          // how many changes are left; null when that was not looked at
	Why     string `json:"why,omitempty"`   // why nothing was even tried
	Error   string `json:"error,omitempty"` // why it did not succeed
}

// A patchResult says what is in the file of --patch.
type patchResult struct {
	Path    string         `json:"path"`
	Changes int            `json:"changes"`
	Omitted []omissionItem `json:"omitted"`
}

type omissionItem struct {
	Path      string `json:"path"`
	PathBytes []byte `json:"path_base64,omitempty"` // where the name is not UTF-8
	Why       string `json:"why"`
}

// newResult makes sure, before anything starts, that the files of --result and --patch can be written at the end.
func newResult(o runOptions, workspaces ...string) (*result, error) {
	r := &result{Version: 1, Degraded: []string{}, Command: o.command, Resumed: o.resume, Started: time.Now().UTC()}
	if r.Command == nil {
		r.Command = []string{}
	}
	var err error
	if r.file, err = placeFile("result", o.result, workspaces); err != nil {
		return nil, err
	}
	if r.patch, err = placeFile("patch", o.patch, workspaces); err != nil {
		return nil, errors.Join(err, r.file.close())
	}
	if r.patch.same(r.file) {
		return nil, errors.Join(&usageError{msg: "--patch and --result name one file", hint: "name two"}, r.file.close(), r.patch.close())
	}
	return r, nil
}

// encode gives the result of a session that is over.
func (r *result) encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	return append(visibleJSON(data), '\n'), nil
}

// write puts it into the file of --result.
func (r *result) write(data []byte) error {
	var err error
	if data != nil {
		err = r.file.write(func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
	}
	return errors.Join(err, r.file.close(), r.patch.close())
}

// over notes the end of the session; err is what `run` returns for it.
func (r *result) over(err error) {
	r.Ended = time.Now().UTC()
	r.judge(err)
}

// judge fills in the cause, unless the agent ran and has said it.
func (r *result) judge(err error) {
	if r.Cause != "" {
		return
	}
	v := judge(err)
	r.Cause, r.ExitCode, r.Layer, r.Error = v.cause, v.code, v.layer, err.Error()
	var s *interruptedError
	if errors.As(err, &s) {
		r.Signal = signalName(s.signal)
	}
}
