package audit

// ToolCall is a tool call that the agent asked its hook about, and the answer.
type ToolCall struct {
	Tool     Text `json:"tool"`
	ID       Text `json:"id,omitempty"` // the agent's, by which ToolResult is found
	Agent    Text `json:"agent_session,omitempty"`
	Dir      Text `json:"dir,omitempty"`  // where the agent is
	Input    Text `json:"input"`          // JSON, as the agent sent it
	Decision Text `json:"decision"`       // allow, deny, or none: the agent's own mode decides
	Rule     Text `json:"rule,omitempty"` // the entry of the profile, or the default, that decided
	Reason   Text `json:"reason,omitempty"`
	PID      int  `json:"pid"` // of the hook, on the host
}

// Type is tool.call.
func (ToolCall) Type() string { return "tool.call" }

// ToolResult is that a tool has run, as the agent tells it.
type ToolResult struct {
	Tool         Text  `json:"tool"`
	ID           Text  `json:"id,omitempty"`
	Agent        Text  `json:"agent_session,omitempty"`
	Bytes        int   `json:"bytes"` // of the response
	Milliseconds int64 `json:"milliseconds,omitempty"`
	PID          int   `json:"pid"`
}

// Type is tool.result.
func (ToolResult) Type() string { return "tool.result" }

// HookBroken is that the agent may have run a tool without an answer.
type HookBroken struct {
	Why    Text `json:"why"`
	Action Text `json:"action"` // freeze or kill
	PID    int  `json:"pid,omitempty"`
}

// Type is hook.broken.
func (HookBroken) Type() string { return "hook.broken" }
