"""Calls about reach tests."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project, reach_test_spec
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2 as reach_test
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2_grpc


class ReachTestCalls(Calls):
    @cached_property
    def _reach_tests(self) -> "reach_test_pb2_grpc.ReachTestServiceAsyncStub":
        return reach_test_pb2_grpc.ReachTestServiceStub(self._channel)

    def create_reach_test(
        self, project: Project, name: str, *, must: str, source: str, destination: str, service: str
    ) -> Mutation[messages.ReachTest]:
        """`must` is `reach` or `not-reach`; ends are `port:web1`, `group:web`, `subnet:data`, a CIDR or `internet`."""
        request = reach_test.CreateReachTestRequest(
            **in_project(project),
            test=reach_test_spec(name, must=must, source=source, destination=destination, service=service),
        )
        return self._mutation(self._reach_tests.CreateReachTest, "create_reach_test", request, retry=True)

    async def get_reach_test(self, project: Project, test: str) -> messages.ReachTest:
        request = reach_test.GetReachTestRequest(**in_project(project), reach_test_id=test)
        return await self._call(self._reach_tests.GetReachTest, request)

    def list_reach_tests(self, project: Project) -> AsyncIterator[messages.ReachTest]:
        request = reach_test.ListReachTestsRequest(**in_project(project))
        return self._pages(self._reach_tests.ListReachTests, request, lambda page: page.reach_tests)

    def delete_reach_test(self, project: Project, test: str) -> Mutation[None]:
        request = reach_test.DeleteReachTestRequest(**in_project(project), reach_test_id=test)
        return self._deletion(self._reach_tests.DeleteReachTest, "delete_reach_test", request)

    def apply_reach_tests(
        self, project: Project, tests: Sequence[messages.ReachTestSpec], *, prune: bool = False
    ) -> Mutation[messages.ApplyReachTestsResponse]:
        """All of them or none; with `prune`, the project's other tests are deleted."""
        request = reach_test.ApplyReachTestsRequest(**in_project(project), tests=tests, prune=prune)
        return self._mutation(self._reach_tests.ApplyReachTests, "apply_reach_tests", request, retry=True)

    async def run_reach_tests(self, project: Project, tests: Sequence[str] = ()) -> Sequence[messages.ReachTestResult]:
        """Whether they hold now; without names, all of the project."""
        request = reach_test.RunReachTestsRequest(**in_project(project), reach_test_ids=tests)
        return (await self._call(self._reach_tests.RunReachTests, request)).results
