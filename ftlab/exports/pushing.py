"""`python -m ftlab.exports.pushing`: a folder sent to the hub, by its own client.

The token is that of HF_TOKEN or of a login; it is neither asked for nor kept here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from ftlab.errands import answering
from ftlab.errors import FtlabError
from ftlab.refusals import reason


def main() -> int:
    return answering(_push)


def _push(request: dict[str, Any], _say: Any) -> Iterator[dict[str, Any]]:
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise FtlabError(
            "No token of the hub is on this machine; to send something there takes one that may "
            "write. Run `hf auth login` or set HF_TOKEN, and export again."
        )
    hub, repo = HfApi(), request["repo"]
    yield {"progress": 0.1, "what": f"sending it to {repo}"}
    try:
        hub.create_repo(repo, private=request["private"], exist_ok=True)
        if request["private"] and not hub.model_info(repo).private:
            raise FtlabError(
                f"{repo} is there and everybody can see it; what is sent should be for you alone. "
                "Name another, make it private there, or say that it is for everybody "
                "(private=False, --public)."
            )
        done = hub.upload_folder(
            folder_path=request["folder"], repo_id=repo, commit_message=request["message"]
        )
    except (HfHubHTTPError, OSError, ValueError) as exc:
        raise FtlabError(
            f"The hub did not take {repo} ({reason(exc)}); it takes a name such as owner/name, and "
            f"a token that may write there. The export itself is in {request['folder']}: correct "
            "the name or the token, and send it again."
        ) from exc
    yield {"made": str(done.commit_url or f"{hub.endpoint}/{repo}")}


if __name__ == "__main__":
    sys.exit(main())
