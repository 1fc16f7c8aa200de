"""What workers do together, on a Redis Cluster: tests of other files, in their own words."""

from __future__ import annotations

import pytest

from tests.integration.conftest import MakeSettings, settings_at
from tests.integration.test_client_channels import (  # noqa: F401
    test_publications_and_subscriptions_reach_live_sockets_of_both_kinds_elsewhere,
    test_the_blocking_client_has_the_same_verbs,
    test_what_a_client_publishes_reaches_sockets_of_all_workers_and_is_kept,
)
from tests.integration.test_echo import (  # noqa: F401
    test_a_burst_of_one_connection_is_answered_in_order,
    test_with_two_workers_both_handle_for_connections_they_do_not_hold,
)
from tests.integration.test_membership import (  # noqa: F401
    test_what_a_dead_worker_owed_is_handled_again_under_the_same_id,
)
from tests.integration.test_presence import (  # noqa: F401
    test_join_and_leave_are_told_in_order,
    test_members_that_a_drain_leaves_behind_are_swept,
)
from tests.integration.test_sends import (  # noqa: F401
    test_any_worker_sends_to_any_socket,
    test_to_a_process_that_is_no_worker_a_dead_owner_is_gone,
)
from tests.support.redis_cluster import RedisCluster


@pytest.fixture
def settings(redis_cluster: RedisCluster) -> MakeSettings:
    """Make settings with changes; all of one test share a prefix."""
    return settings_at(redis_cluster.url)
