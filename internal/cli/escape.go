package cli

import "agentbox/internal/escape"

// What the commands print of others' texts goes through these; see package escape.
var (
	visible     = escape.Text
	visibleJSON = escape.JSON
	shorten     = escape.Shorten
	commandLine = escape.Line
)
