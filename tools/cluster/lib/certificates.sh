# shellcheck shell=bash
# One authority for the whole cluster, and what it signs. All keys are elliptic (P-256): made in milliseconds.

# make_authority: the authority and the key pair that signs service account tokens.
make_authority() {
    mkdir -p "$dir/pki"
    [ -f "$dir/pki/sa.pub" ] && return 0
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=clowder-test-cluster \
        -addext keyUsage=critical,keyCertSign,digitalSignature \
        -keyout "$dir/pki/ca.key" -out "$dir/pki/ca.crt" 2>/dev/null
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$dir/pki/sa.key" 2>/dev/null
    openssl pkey -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub"
}

# issue NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]: pki/NAME.crt and pki/NAME.key.
issue() {
    local pair=$dir/pki/$1
    local extensions=(-addext "extendedKeyUsage=serverAuth,clientAuth")
    [ -f "$pair.crt" ] && return 0
    [ -z "${3:-}" ] || extensions+=(-addext "subjectAltName=$3")
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" "${extensions[@]}" \
        -keyout "$pair.key" -out "$pair.csr" 2>/dev/null
    openssl x509 -req -in "$pair.csr" -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -CAcreateserial -days 365 \
        -copy_extensions copy -out "$pair.crt.new" 2>/dev/null
    rm "$pair.csr"
    mv "$pair.crt.new" "$pair.crt"
}

# write_kubeconfig FILE PAIR: a client of the API server with the identity of pki/PAIR.
write_kubeconfig() {
    cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: clowder-test
clusters:
- name: clowder-test
  cluster:
    server: $api
    certificate-authority-data: $(base64 -w 0 "$dir/pki/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w 0 "$dir/pki/$2.crt")
    client-key-data: $(base64 -w 0 "$dir/pki/$2.key")
contexts:
- name: clowder-test
  context:
    cluster: clowder-test
    user: $2
YAML
}
