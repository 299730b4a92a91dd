"""moto's server, with the checks of AWS KMS that moto 5.2.5 leaves out.

A test of key isolation that passes against plain moto shows little: there, a disabled key still
decrypts, a key policy denies nothing, and a key named wrongly is answered with the wrong error.
Added here, each as the API reference of AWS KMS documents it:

* a key that is disabled gives DisabledException, one that waits for its deletion gives
  KMSInvalidStateException;
* Decrypt and ReEncrypt under a key other than the one named give IncorrectKeyException;
* a Deny statement of the key policy gives AccessDeniedException. moto knows no callers, so it
  counts whatever its principal; statements with a condition are not evaluated;
* the operations on a key's state take its ARN too, not its id alone, and those on its policy need
  not name the only one there is.
"""

import fnmatch
import json
import sys

from moto.core.exceptions import JsonRESTError
from moto.kms import responses
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.server import main

# A blob of moto's begins with the id of its key.
KEY_ID_LENGTH = 36


class Refusal(JsonRESTError):
    code = 400


def as_list(value):
    return value if isinstance(value, list) else [value]


def denies(statement, action):
    if statement.get("Effect") != "Deny" or "Condition" in statement:
        return False
    patterns = as_list(statement.get("Action", []))
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def check_state(key):
    if key.key_state == "PendingDeletion":
        raise Refusal("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key.key_state == "Disabled":
        raise Refusal("DisabledException", f"{key.arn} is disabled.")


def check_policy(key, action):
    try:
        statements = as_list(json.loads(key.policy).get("Statement", []))
    except (AttributeError, TypeError, ValueError):
        statements = []  # moto accepts a policy that is no policy
    if any(denies(statement, action) for statement in statements):
        raise Refusal(
            "AccessDeniedException",
            f"User is not authorized to perform: {action} on resource: {key.arn} "
            "with an explicit deny in a resource-based policy",
        )


def check_named(response, parameter, action):
    """Checks the key that a parameter of the request names."""
    name = response._get_param(parameter)
    response._validate_key_id(name)
    key = response.kms_backend.keys[response.kms_backend.any_id_to_key_id(name)]
    check_policy(key, action)
    check_state(key)


def check_blob(response, parameter, action):
    """Checks the key of a ciphertext, and that it is the one the request names."""
    blob = response._get_param("CiphertextBlob")
    backend = response.kms_backend
    key = backend.keys.get(bytes(blob[:KEY_ID_LENGTH]).decode("ascii", "replace"))
    if key is None:
        raise Refusal("InvalidCiphertextException", "")
    named = response._get_param(parameter)
    if named is not None:
        response._validate_key_id(named)
        if backend.any_id_to_key_id(named) != key.id:
            raise Refusal(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
    check_policy(key, action)
    check_state(key)


def checked(operation, *checks):
    def run(response):
        for check, parameter, action in checks:
            check(response, parameter, action)
        return operation(response)

    return run


generate_data_key = KmsResponse.generate_data_key


def generate_data_key_without_plaintext(response):
    answer = json.loads(generate_data_key(response))
    del answer["Plaintext"]
    return json.dumps(answer)


KmsResponse.encrypt = checked(KmsResponse.encrypt, (check_named, "KeyId", "kms:Encrypt"))
KmsResponse.decrypt = checked(KmsResponse.decrypt, (check_blob, "KeyId", "kms:Decrypt"))
KmsResponse.re_encrypt = checked(
    KmsResponse.re_encrypt,
    (check_blob, "SourceKeyId", "kms:ReEncryptFrom"),
    (check_named, "DestinationKeyId", "kms:ReEncryptTo"),
)
KmsResponse.generate_data_key = checked(
    generate_data_key, (check_named, "KeyId", "kms:GenerateDataKey")
)
KmsResponse.generate_data_key_without_plaintext = checked(
    generate_data_key_without_plaintext,
    (check_named, "KeyId", "kms:GenerateDataKeyWithoutPlaintext"),
)


def by_key_id(operation):
    def run(backend, key_id, *arguments):
        return operation(backend, backend.get_key_id(key_id), *arguments)

    return run


for name in ("disable_key", "enable_key", "cancel_key_deletion", "schedule_key_deletion"):
    setattr(KmsBackend, name, by_key_id(getattr(KmsBackend, name)))

check_policy_name = responses._assert_default_policy
responses._assert_default_policy = lambda name: check_policy_name(name or "default")


if __name__ == "__main__":
    main(sys.argv[1:])
