// Package s3store is the client of S3-compatible stores: objects that are read whole and checked, and that appear whole.
package s3store

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/remote"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func init() { remote.Register(&Store{}) }

// Store is the store that the environment names. Its zero value is ready.
type Store struct {
	mu     sync.Mutex
	core   *minio.Core
	config config

	// PartBytes is the size from which an upload is made in parts, and that of a part; 0: 64 MiB.
	PartBytes int64
}

// config is what the environment says, without the credentials.
type config struct {
	endpoint, region string
	secure           bool
}

// tries is how often a request is made before its error is the answer.
const tries = 6

// idle is how long a transfer may stand still.
const idle = time.Minute

// client is the client for the environment as it is now.
func (s *Store) client() (*minio.Core, error) {
	c, err := environment()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core != nil && s.config == c {
		return s.core, nil
	}
	core, err := minio.NewCore(c.endpoint, &minio.Options{Creds: keys(), Secure: c.secure, Region: c.region, MaxRetries: tries})
	if err != nil {
		return nil, fmt.Errorf("the store's address %q: %w", c.endpoint, err)
	}
	s.core, s.config = core, c
	return core, nil
}

// environment reads where the store is, from the variables of the AWS SDKs.
func environment() (config, error) {
	c := config{endpoint: "s3.amazonaws.com", secure: true}
	if c.region = os.Getenv("AWS_REGION"); c.region == "" {
		c.region = os.Getenv("AWS_DEFAULT_REGION")
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return c, fmt.Errorf("%s is not of the form https://HOST:PORT", name)
		case u.User != nil:
			return c, fmt.Errorf("%s holds a user's name or password: credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", name)
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			return c, fmt.Errorf("%s has a path or a query, which is not supported", name)
		}
		c.endpoint, c.secure = u.Host, u.Scheme == "https"
		if c.region == "" { // else the store is asked, which not every key may do
			c.region = "us-east-1"
		}
		break
	}
	return c, nil
}

// keys looks for credentials as the AWS SDKs do: the environment, the profile's file, the role of the machine or pod.
func keys() *credentials.Credentials {
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		const patience = 10 * time.Second
		providers = append(providers, &credentials.IAM{Client: &http.Client{Timeout: patience}})
	}
	return credentials.NewChainCredentials(providers)
}

// bucketName is what S3 allows, and a little more that older buckets have.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)

// split takes an address apart. What is no bucket's name is not repeated: it may hold a password.
func split(address string) (bucket, key string, err error) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(address, remote.Scheme), "/")
	if !remote.Is(address) || !bucketName.MatchString(bucket) {
		return "", "", fmt.Errorf("an address is not of the form s3://BUCKET/KEY: what follows s3:// is not the name of a bucket")
	}
	if strings.HasPrefix(key, "/") || strings.Contains(key, "//") || len(key) > 1024 {
		return "", "", fmt.Errorf("%s: the key begins with a slash, holds two in a row or is longer than 1024 bytes", address)
	}
	return bucket, key, nil
}
