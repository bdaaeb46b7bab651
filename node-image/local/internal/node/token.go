package node

import (
	"crypto/sha256"
	"encoding/hex"
)

// bootstrapToken is the cluster's secret in the form that Kubernetes has for
// tokens with which nodes join: ID.SECRET, of 6 and 16 characters.
type bootstrapToken struct{ id, secret string }

func newBootstrapToken(clusterSecret string) bootstrapToken {
	sum := sha256.Sum256([]byte(clusterSecret))
	text := hex.EncodeToString(sum[:])
	return bootstrapToken{id: text[:6], secret: text[6:22]}
}

func (t bootstrapToken) String() string { return t.id + "." + t.secret }
