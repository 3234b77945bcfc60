//! Storing new tasks.

use uuid::Uuid;

use super::subject::{DIAMOND, Subject, task};
use crate::orchestration::state::{StepState, TaskState};
use crate::orchestration::store::{NewTask, StoreError, Submission, TaskFilter};

/// What goes in comes back.
pub async fn a_new_task_is_stored_as_it_was_given(subject: Subject) {
    let new = task(DIAMOND);
    let uuid = subject.submit_task(new.clone()).await;
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.namespace, record.name, record.version),
        (new.namespace, new.name, new.version)
    );
    assert_eq!(
        (record.state, record.run, record.reason),
        (TaskState::Pending, 1, None)
    );
    assert_eq!(record.correlation_id, new.correlation_id);
    assert_eq!(
        (
            record.steps_total,
            record.steps_complete,
            record.steps_failed
        ),
        (4, 0, 0)
    );
    assert_eq!(record.content, "07".repeat(32));
    assert!(
        record.created_at > 1_600_000_000_000,
        "{}",
        record.created_at
    );
    assert_eq!((record.started_at, record.ended_at), (None, None));
    let definition = subject.store.definition(uuid).await.unwrap().unwrap();
    assert_eq!(definition.template_json, new.template_json);
    assert_eq!(definition.input_json, new.input_json);
    let steps = subject.steps(uuid).await;
    for ((step, new), index) in steps.iter().zip(&new.steps).zip(0..) {
        assert_eq!(
            (step.index, &step.name, &step.callable),
            (index, &new.name, &new.callable)
        );
        assert_eq!((&step.parents, step.max_attempts), (&new.parents, 3));
        assert_eq!(step.unmet_dependencies as usize, new.parents.len());
        assert_eq!((step.attempts, step.epoch, step.lost_leases), (0, 0, 0));
        let expected = if index == 0 {
            StepState::Ready
        } else {
            StepState::Pending
        };
        assert_eq!(step.state, expected);
    }
}

/// The second submission is told of the first, whatever state that is in.
pub async fn the_same_identity_is_a_duplicate(subject: Subject) {
    let first = task(DIAMOND);
    let uuid = subject.submit_task(first.clone()).await;
    for state in [TaskState::Pending, TaskState::Complete] {
        if state == TaskState::Complete {
            subject.run_out().await;
        }
        let again = NewTask {
            task_uuid: Uuid::now_v7(),
            ..first.clone()
        };
        let answer = subject
            .store
            .submit(vec![again])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        let duplicate = Submission::Duplicate {
            task_uuid: uuid,
            state,
            same_content: true,
        };
        assert_eq!(answer, duplicate);
    }
    assert_eq!(
        subject
            .store
            .tasks(TaskFilter::default())
            .await
            .unwrap()
            .len(),
        1
    );
}

/// A caller who used a key twice can tell.
pub async fn other_content_under_the_same_identity_is_told(subject: Subject) {
    let first = task(DIAMOND);
    let uuid = subject.submit_task(first.clone()).await;
    let other = NewTask {
        task_uuid: Uuid::now_v7(),
        content: [8; 32],
        ..first
    };
    let answer = subject
        .store
        .submit(vec![other])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let duplicate = Submission::Duplicate {
        task_uuid: uuid,
        state: TaskState::Pending,
        same_content: false,
    };
    assert_eq!(answer, duplicate);
}

/// The batch is no hole in the rule.
pub async fn duplicates_in_one_batch_are_found(subject: Subject) {
    let (first, second) = (task(DIAMOND), task(&[("only", &[])]));
    let again = NewTask {
        task_uuid: Uuid::now_v7(),
        ..first.clone()
    };
    let other = NewTask {
        task_uuid: Uuid::now_v7(),
        content: [8; 32],
        ..first.clone()
    };
    let batch = vec![first.clone(), second.clone(), again, other];
    let answers: Vec<Submission> = subject
        .store
        .submit(batch)
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let created = |task: &NewTask| Submission::Created {
        task_uuid: task.task_uuid,
    };
    let duplicate = |same_content| Submission::Duplicate {
        task_uuid: first.task_uuid,
        state: TaskState::Pending,
        same_content,
    };
    assert_eq!(
        answers,
        [
            created(&first),
            created(&second),
            duplicate(true),
            duplicate(false)
        ]
    );
    assert_eq!(
        subject
            .store
            .tasks(TaskFilter::default())
            .await
            .unwrap()
            .len(),
        2
    );
}

/// Bad tasks get an error that names them; their neighbours are stored, and nothing of them is.
pub async fn a_task_that_could_not_end_is_refused_alone(subject: Subject) {
    let good = [task(DIAMOND), task(DIAMOND)];
    let mut no_attempt = task(DIAMOND);
    no_attempt.steps[2].max_attempts = 0;
    let bad = [
        task(&[]),
        task(&[("circle", &[1]), ("back", &[0])]),
        task(&[("own", &[0])]),
        task(&[("far", &[5])]),
        task(&[("first", &[]), ("twice", &[0, 0])]),
        no_attempt,
    ];
    let mut batch = vec![good[0].clone()];
    batch.extend(bad.iter().cloned());
    batch.push(good[1].clone());
    let answers = subject.store.submit(batch).await.unwrap();
    assert_eq!(answers.len(), 8);
    for (answer, task) in answers[1..7].iter().zip(&bad) {
        let refused = matches!(
            answer,
            Err(StoreError::Invalid { task_uuid, .. }) if *task_uuid == task.task_uuid
        );
        assert!(refused, "{answer:?}");
        assert_eq!(subject.store.task(task.task_uuid).await.unwrap(), None);
        assert!(subject.steps(task.task_uuid).await.is_empty());
    }
    for (answer, task) in [&answers[0], &answers[7]].iter().zip(&good) {
        assert!(
            matches!(answer, Ok(Submission::Created { .. })),
            "{answer:?}"
        );
        assert_eq!(subject.steps(task.task_uuid).await.len(), 4);
    }
}

/// Two tasks cannot share an id, in one batch or in two.
pub async fn an_id_is_given_once(subject: Subject) {
    let first = task(DIAMOND);
    let second = NewTask {
        task_uuid: first.task_uuid,
        ..task(DIAMOND)
    };
    let third = NewTask {
        task_uuid: first.task_uuid,
        ..task(DIAMOND)
    };
    let answers = subject
        .store
        .submit(vec![first.clone(), second])
        .await
        .unwrap();
    assert!(
        matches!(answers[0], Ok(Submission::Created { .. })),
        "{answers:?}"
    );
    assert!(
        matches!(answers[1], Err(StoreError::Invalid { .. })),
        "{answers:?}"
    );
    let answers = subject.store.submit(vec![third]).await.unwrap();
    assert!(
        matches!(answers[0], Err(StoreError::Invalid { .. })),
        "{answers:?}"
    );
}

/// Payloads and names are text and nothing but text.
pub async fn odd_text_comes_back_unchanged(subject: Subject) {
    let odd = "it's \"odd\" \\ \u{1F4EE}\n\t'; DROP TABLE postroom_tasks; -- %s {} \u{e9}";
    let mut new = task(DIAMOND);
    new.namespace = odd.into();
    new.name = odd.into();
    new.version = odd.into();
    new.input_json = format!("{{\"odd\": {odd:?}}}");
    new.template_json = odd.into();
    for step in &mut new.steps {
        step.name = format!("{} {odd}", step.name);
        step.callable = odd.into();
    }
    let uuid = subject.submit_task(new.clone()).await;
    let record = subject.task(uuid).await;
    assert_eq!(
        (record.namespace.as_str(), record.name.as_str()),
        (odd, odd)
    );
    assert_eq!(record.version, odd);
    let definition = subject.store.definition(uuid).await.unwrap().unwrap();
    assert_eq!(
        (&*definition.input_json, &*definition.template_json),
        (&*new.input_json, odd)
    );
    let mut request = subject.request(10);
    request.callables = vec![odd.into()];
    let step = subject.store.claim(request).await.unwrap().steps.remove(0);
    assert_eq!(
        (step.name, step.callable.as_str()),
        (new.steps[0].name.clone(), odd)
    );
}

/// Nothing in, nothing out.
pub async fn empty_batches_do_nothing(subject: Subject) {
    assert!(subject.store.submit(Vec::new()).await.unwrap().is_empty());
    assert!(subject.store.complete(Vec::new()).await.unwrap().is_empty());
    assert!(subject.store.operate(Vec::new()).await.unwrap().is_empty());
    let released = subject.store.release(subject.process, Vec::new()).await;
    assert_eq!(released.unwrap(), 0);
    let mut request = subject.request(10);
    request.callables = Vec::new();
    assert!(subject.store.claim(request).await.unwrap().steps.is_empty());
}
