package audit

// NetworkRequest is a request that agentbox has read and let out, and its response; it is over.
type NetworkRequest struct {
	Via          Text    `json:"via"`    // as NetworkConnection has it, base-url or socket
	Scheme       Text    `json:"scheme"` // http or https
	Host         Text    `json:"host"`   // in its one form
	Port         uint16  `json:"port"`
	Address      Text    `json:"address,omitempty"` // that was dialled; the upstream proxy's where there is one
	Protocol     Text    `json:"protocol"`          // that the client spoke: HTTP/1.1 or HTTP/2.0
	Method       Text    `json:"method"`
	Path         Text    `json:"path"` // with the names of the query's parameters, and not their values
	Status       int     `json:"status,omitempty"`
	BytesOut     int64   `json:"bytes_out"`
	BytesIn      int64   `json:"bytes_in"`
	Milliseconds int64   `json:"milliseconds"`
	Rule         Text    `json:"rule"`                  // the entry of the profile that allowed it
	Credentials  []Text  `json:"credentials,omitempty"` // that were added, by name
	Model        Text    `json:"model,omitempty"`       // of a model API, as the response has it
	Input        int64   `json:"input_tokens,omitempty"`
	Output       int64   `json:"output_tokens,omitempty"`
	CacheRead    int64   `json:"cache_read_tokens,omitempty"`
	CacheWrite   int64   `json:"cache_write_tokens,omitempty"`
	CostUSD      float64 `json:"cost_usd,omitempty"`
	Unpriced     bool    `json:"unpriced,omitempty"`  // the model is in no table of prices, and cost what the dearest does
	Estimated    bool    `json:"estimated,omitempty"` // the response did not say what was used, or not all of it
	PID          int     `json:"pid,omitempty"`       // of the program, on the host, where it was still to be found
	Argv         []Text  `json:"argv,omitempty"`
	Error        Text    `json:"error,omitempty"` // what ended it, if it did not end by itself
}

// Type is network.request.
func (NetworkRequest) Type() string { return "network.request" }

// NetworkTripwire is a placeholder on its way to where it is of no use. It stands for no secret; whoever sends it has looked for one.
type NetworkTripwire struct {
	Credential Text   `json:"credential"` // whose placeholder it is
	Where      Text   `json:"where"`      // name, head or body
	Via        Text   `json:"via"`
	Host       Text   `json:"host"`
	Port       uint16 `json:"port,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Argv       []Text `json:"argv,omitempty"`
}

// Type is network.tripwire.
func (NetworkTripwire) Type() string { return "network.tripwire" }

// SecretCut is a secret that a server has sent back; asterisks went into the box in its place.
type SecretCut struct {
	Credential Text   `json:"credential"`
	Where      Text   `json:"where"` // head or body
	Host       Text   `json:"host"`
	Port       uint16 `json:"port"`
	Method     Text   `json:"method,omitempty"`
	Path       Text   `json:"path,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Argv       []Text `json:"argv,omitempty"`
}

// Type is network.secret-cut.
func (SecretCut) Type() string { return "network.secret-cut" }

// CredentialRefresh is that a secret was read again, or could not be.
type CredentialRefresh struct {
	Credential Text `json:"credential"`
	Error      Text `json:"error,omitempty"`
}

// Type is credential.refresh.
func (CredentialRefresh) Type() string { return "credential.refresh" }

// BudgetWarning is that warn_at of the budget has been spent.
type BudgetWarning struct {
	SpentUSD    float64 `json:"spent_usd"`
	LimitUSD    float64 `json:"limit_usd,omitempty"`
	Tokens      int64   `json:"tokens"`
	LimitTokens int64   `json:"limit_tokens,omitempty"`
}

// Type is budget.warning.
func (BudgetWarning) Type() string { return "budget.warning" }

// BudgetReached is that the budget has been spent.
type BudgetReached struct {
	SpentUSD    float64 `json:"spent_usd"`
	LimitUSD    float64 `json:"limit_usd,omitempty"`
	Tokens      int64   `json:"tokens"`
	LimitTokens int64   `json:"limit_tokens,omitempty"`
	Action      Text    `json:"action"` // refuse, freeze or kill
}

// Type is budget.reached.
func (BudgetReached) Type() string { return "budget.reached" }
